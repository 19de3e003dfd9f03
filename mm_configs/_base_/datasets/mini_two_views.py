"""Two crops of each picture: MoCo v3 on the mini benchmark at 64 px.

References:
    facebookresearch/moco-v3 main_moco.py, CONFIG.md: crops from 0.08 of the picture for ViTs.
"""

_base_ = ["./mini_pretrain.py", "./views.py"]

image = [
    dict(_base_.crop, scale=64, crop_ratio_range=(0.08, 1.0)),
    _base_.jitter,
    _base_.grey,
]
train_pipeline = [
    dict(type="mixedae.LoadPicture"),
    dict(
        type="MultiView",
        num_views=[1, 1],
        transforms=[
            [*image, dict(_base_.blur, prob=1.0), _base_.flip],
            [*image, dict(_base_.blur, prob=0.1), dict(_base_.solarize, prob=0.2), _base_.flip],
        ],
    ),
    dict(type="PackInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
