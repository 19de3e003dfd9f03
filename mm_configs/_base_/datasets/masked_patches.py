"""Pictures with masks of large patches, without the data: SimMIM.

References:
    microsoft/SimMIM data/data_simmim.py: crops from 0.67 of the picture, 0.6 of the patches of 32 masked.
"""

_base_ = "./views.py"

masked_patches = [
    dict(type="mixedae.LoadPicture"),
    dict(_base_.crop, scale=224, crop_ratio_range=(0.67, 1.0)),
    _base_.flip,
    dict(
        type="SimMIMMaskGenerator",
        input_size=224,
        mask_patch_size=32,
        model_patch_size=16,
        mask_ratio=0.6,
    ),
    dict(type="PackInputs"),
]
