"""vit-base_classifier.py with the mini ViT at 64 x 64, for few pictures or little time.

Without mixup, cutmix and stochastic depth: they pay off over hundreds of epochs on ImageNet, not in a minute.
"""

_base_ = ["vit-base_classifier.py", "vit-mini-p8.py"]

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, **_base_.vit_mini), img_size=64, patch_size=_base_.vit_mini_patch, drop_path_rate=0.0
    ),
    head=dict(num_classes=10, in_channels=_base_.vit_mini.embed_dims),
    train_cfg=dict(_delete_=True),
)
