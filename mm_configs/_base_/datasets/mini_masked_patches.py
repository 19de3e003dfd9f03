"""Pictures with masks of large patches: SimMIM on the mini benchmark at 64 px.

References:
    microsoft/SimMIM data/data_simmim.py: crops from 0.67 of the picture, 0.6 of the patches of 32 masked.
"""

_base_ = ["./mini_pretrain.py", "./views.py"]

train_pipeline = [
    dict(type="mixedae.LoadPicture"),
    dict(_base_.crop, scale=64, crop_ratio_range=(0.67, 1.0)),
    _base_.flip,
    dict(
        type="SimMIMMaskGenerator",
        input_size=64,
        mask_patch_size=16,
        model_patch_size=8,
        mask_ratio=0.6,
    ),
    dict(type="PackInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
