"""Pre-training's crop and flip in mmpretrain's own steps, then colour jitter: an ablation of both methods.

Strengths are MoCo v2's (arXiv 2003.04297), because neither MAE nor MixedAE states its own.
"""

jitter_pipeline = [
    dict(type="mixedae.LoadPicture"),
    dict(type="RandomResizedCrop", scale=224, crop_ratio_range=(0.2, 1.0), backend="pillow", interpolation="bicubic"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, backend="pillow"),
    dict(type="PackInputs"),
]
