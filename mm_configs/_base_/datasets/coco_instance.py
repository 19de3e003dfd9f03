"""COCO 2017, boxes and masks: multi-scale training with crops, single-scale test (bytedance/ibot).

The augmentation is iBOT's, from DETR and Sparse R-CNN: half of the pictures are resized to a short side of 480 to 800,
half are resized, cropped and resized again. Expects train2017/, val2017/ and annotations/instances_*.json in the root.
"""

data_root = "{{$MIXEDAE_DATA_COCO:data/coco}}"
long_side, short_side = 1333, 800

train_scales = [(short, long_side) for short in range(480, short_side + 1, 32)]
crop_scales = [(short, long_side) for short in (400, 500, 600)]
# Pillow refuses a truncated JPEG, which OpenCV decodes to grey.
load_image = dict(type="mixedae.LoadPicture", upright=False)
load_annotations = dict(type="LoadAnnotations", with_bbox=True, with_mask=True)
multi_scale = dict(type="RandomChoiceResize", scales=train_scales, keep_ratio=True)

train_pipeline = [
    load_image,
    load_annotations,
    dict(type="RandomFlip", prob=0.5),
    dict(
        type="RandomChoice",
        transforms=[
            [multi_scale],
            [
                dict(type="RandomChoiceResize", scales=crop_scales, keep_ratio=True),
                dict(type="RandomCrop", crop_type="absolute_range", crop_size=(384, 600), allow_negative_crop=True),
                multi_scale,
            ],
        ],
    ),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    load_image,
    dict(type="Resize", scale=(long_side, short_side), keep_ratio=True),
    load_annotations,
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]

train_dataloader = dict(  # batch_size: the leaf's, from the schedule
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(
        type="mixedae.CocoDataset",
        data_root=data_root,
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,  # padding to the largest picture of a batch would change what global attention sees
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="mixedae.CocoDataset",
        data_root=data_root,
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type="mixedae.CocoMetric", ann_file=f"{data_root}/annotations/instances_val2017.json", metric=["bbox", "segm"]
)
test_evaluator = val_evaluator
