"""The mini benchmark's many unlabelled pictures; the augmentation of ImageNet pre-training at 64 px."""

_base_ = "./imagenet_pretrain.py"

data_root = "{{$MIXEDAE_DATA_MINI:data/mini}}"
batch_size = 64  # all processes together: the batch that lr is for
train_pipeline = [  # through Pillow: the same pixels as for the figures in RESULTS.md
    dict(type="mixedae.LoadPicture"),
    dict(
        type="RandomResizedCrop",
        scale=64,
        crop_ratio_range=(0.2, 1.0),
        backend="pillow",
        interpolation="bicubic",
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackInputs"),
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=0,  # on two cores a worker would slow down the other cell
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type="mmpretrain.CustomDataset",
        data_root=data_root + "/imagenet",
        data_prefix="pretrain",
        pipeline=train_pipeline,
    ),
)
