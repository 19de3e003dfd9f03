"""COCO 2017 with large-scale jitter at 1024 x 1024 (arXiv 2012.07177), as ViTDet trains.

open-mmlab/mmdetection ``projects/ViTDet/configs/lsj-100e_coco-instance.py``; picture sizes from 0.1 to 2 times 1024,
a crop, padding to the square. Tests bring the long side to 1024.
"""

_base_ = "coco_instance.py"

square_side = 1024
square = dict(type="Pad", size=(square_side, square_side), pad_val=dict(img=(114, 114, 114)))
resize = dict(type="Resize", scale=(square_side, square_side), keep_ratio=True)

train_pipeline = [
    _base_.load_image,
    _base_.load_annotations,
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomResize", scale=(square_side, square_side), ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(
        type="RandomCrop",
        crop_type="absolute",
        crop_size=(square_side, square_side),
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-2, 1e-2)),
    square,
    dict(type="PackDetInputs"),
]
test_pipeline = [_base_.load_image, resize, square, _base_.load_annotations, _base_.test_pipeline[-1]]

train_dataloader = dict(
    num_workers=8,
    sampler=dict(_delete_=True, type="InfiniteSampler", shuffle=True),
    batch_sampler=None,  # every picture is square
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
