"""Random changes of colour that contrastive methods and self-distillation share, behind a crop.

References:
    facebookresearch/dino main_dino.py (DataAugmentationDINO); facebookresearch/moco-v3 main_moco.py. Both: BYOL's.
"""

jitter = dict(
    type="RandomApply",
    transforms=[dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)],
    prob=0.8,
)
grey = dict(type="RandomGrayscale", prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989))
blur = dict(type="GaussianBlur", magnitude_range=(0.1, 2.0), magnitude_std="inf")
solarize = dict(type="Solarize", thr=128)
crop = dict(type="RandomResizedCrop", backend="pillow", interpolation="bicubic")
flip = dict(type="RandomFlip", prob=0.5)
