"""The mini benchmark's scenes in ADE20K's layout: ade20k/{images,annotations}/{training,validation}/*.png, 128 x 128.

Written by ``tools/data.py mini``. Mask value 0 is ignored (things of no class), 1 is background, 2 to 11 the classes.
"""

_base_ = "segmentation.py"

data_root = "{{$MIXEDAE_DATA_MINI:data/mini}}/ade20k"
crop_size = (128, 128)
classes = (  # background, then mixedae.datasets.mini.write.CLASSES
    "background",
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

train_pipeline = [
    _base_.load_image,
    _base_.load_annotations,
    dict(type="RandomResize", scale=crop_size, ratio_range=(1.0, 1.25), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.9),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [_base_.load_image, _base_.load_annotations, dict(type="PackSegInputs")]

scenes = dict(
    type="BaseSegDataset",
    data_root=data_root,
    metainfo=dict(classes=classes),
    img_suffix=".png",
    reduce_zero_label=True,
)
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    **loader,
    sampler=dict(type="DefaultSampler", shuffle=True),
    drop_last=True,
    dataset=dict(**scenes, pipeline=train_pipeline),
)
val_dataloader = dict(**loader, dataset=dict(**scenes, pipeline=test_pipeline))
test_dataloader = val_dataloader
