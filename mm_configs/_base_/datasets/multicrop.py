"""Two large crops and several small ones of each picture, without the data: DINO and iBOT.

References:
    facebookresearch/dino main_dino.py (DataAugmentationDINO): the second large crop is solarized, blurred less often.
"""

_base_ = "./views.py"

global_size, local_size, local_views = 224, 96, 8
global_scale, local_scale = (0.4, 1.0), (0.05, 0.4)
large = [
    dict(_base_.crop, scale=global_size, crop_ratio_range=global_scale),
    _base_.flip,
    _base_.jitter,
    _base_.grey,
]
small = [dict(_base_.crop, scale=local_size, crop_ratio_range=local_scale), *large[1:], dict(_base_.blur, prob=0.5)]
multicrop = [
    dict(type="mixedae.LoadPicture"),
    dict(
        type="MultiView",
        num_views=[1, 1, local_views],
        transforms=[
            [*large, dict(_base_.blur, prob=1.0)],
            [*large, dict(_base_.blur, prob=0.1), dict(_base_.solarize, prob=0.2)],
            small,
        ],
    ),
    dict(type="PackInputs"),
]
