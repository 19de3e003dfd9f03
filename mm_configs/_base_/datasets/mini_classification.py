"""The labelled part of the mini benchmark: imagenet/{train,val}/<class>/*.png, 64 x 64, ten classes.

Written by ``tools/data.py mini``.
"""

data_root = "{{$MIXEDAE_DATA_MINI:data/mini}}/imagenet"

data_preprocessor = dict(
    type="ClsDataPreprocessor",
    num_classes=10,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
load_image = dict(type="mixedae.LoadPicture")
# Shape and texture tell the classes apart, colour does not: crops and flips, no colour changes.
train_pipeline = [
    load_image,
    dict(type="RandomResizedCrop", scale=64, crop_ratio_range=(0.5, 1.0), backend="pillow", interpolation="bicubic"),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]
test_pipeline = [load_image, dict(type="PackInputs")]

# Loading takes a tenth of a training step: a worker process would cost more than it saves on two cores.
loader = dict(num_workers=0, persistent_workers=False, pin_memory=False, collate_fn=dict(type="default_collate"))
train_dataloader = dict(  # batch_size: the leaf's, from the schedule
    **loader,
    sampler=dict(type="DefaultSampler", shuffle=True),
    drop_last=True,
    dataset=dict(type="CustomDataset", data_root=data_root, data_prefix="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    **loader,
    batch_size=100,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="CustomDataset", data_root=data_root, data_prefix="val", pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="Accuracy", topk=(1,))
test_evaluator = val_evaluator
