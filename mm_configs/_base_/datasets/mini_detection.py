"""The mini benchmark's scenes in COCO's layout, written by ``tools/data.py mini``.

coco/{train2017,val2017}/*.png, 128 x 128, and annotations/*.json; ten classes; things of no class are not annotated.
"""

data_root = "{{$MIXEDAE_DATA_MINI:data/mini}}/coco"
img_size = 128
classes = (  # mixedae.datasets.mini.write.CLASSES
    "striped_disc",
    "checked_disc",
    "checked_triangle",
    "dotted_triangle",
    "dotted_cross",
    "ringed_cross",
    "ringed_star",
    "zigzag_star",
    "zigzag_crescent",
    "striped_crescent",
)
load_image = dict(type="mixedae.LoadPicture", upright=False)
load_annotations = dict(type="LoadAnnotations", with_bbox=True, with_mask=True)

train_pipeline = [load_image, load_annotations, dict(type="RandomFlip", prob=0.5), dict(type="PackDetInputs")]
test_pipeline = [
    load_image,
    dict(type="Resize", scale=(img_size, img_size), keep_ratio=True),  # changes nothing; mmdet requires a scale factor
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]

scenes = dict(type="mixedae.CocoDataset", data_root=data_root, metainfo=dict(classes=classes))
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(  # batch_size: the leaf's, from the schedule
    **loader,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        **scenes,
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    **loader,
    batch_size=10,  # scenes have one size, so nothing is padded and the batch changes no prediction
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        **scenes,
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
