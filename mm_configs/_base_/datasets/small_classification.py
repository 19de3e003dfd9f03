"""The pipelines and parts of the eleven small classification sets: linusericsson/ssl-transfer, finetune.py.

Training: random resized crop to 224 (area 8 to 100 %, bicubic) and flip. Test: short side 224 (not 256), centre crop.
The leaf of a set gives its folder, the names of its parts, its numbers of pictures and its metric.
"""

crop_size = 224
data_preprocessor = dict(
    type="ClsDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
)
bicubic = dict(backend="pillow", interpolation="bicubic")
load_image = dict(type="mixedae.LoadPicture")  # SUN397 has GIFs and PNGs named .jpg
augment = [
    dict(type="RandomResizedCrop", scale=crop_size, **bicubic),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]
resize = [
    dict(type="ResizeEdge", scale=crop_size, edge="short", **bicubic),
    dict(type="CenterCrop", crop_size=crop_size),
    dict(type="PackInputs"),
]
train_pipeline = [load_image, *augment]
test_pipeline = [load_image, *resize]

batch_size = 64  # all processes together: the batch that lr is for
loader = dict(num_workers=4, persistent_workers=True, collate_fn=dict(type="default_collate"))
train_dataloader = dict(
    **loader,
    batch_size=batch_size,
    drop_last=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="mixedae.SmallSet", part="trainval", pipeline=train_pipeline),
)
val_dataloader = dict(
    **loader,
    batch_size=128,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="mixedae.SmallSet", part="test", pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="Accuracy")
test_evaluator = val_evaluator
# Merged over a leaf: how hyper-parameters are chosen.
selection = dict(
    train_dataloader=dict(dataset=dict(part="train")),
    val_dataloader=dict(dataset=dict(part="val")),
)
