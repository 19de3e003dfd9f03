"""Two crops of each picture, without the data: MoCo v3.

References:
    facebookresearch/moco-v3 main_moco.py, CONFIG.md: crops from 0.08 of the picture for ViTs.
"""

_base_ = "./views.py"

image = [
    dict(_base_.crop, scale=224, crop_ratio_range=(0.08, 1.0)),
    _base_.jitter,
    _base_.grey,
]
two_views = [
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
