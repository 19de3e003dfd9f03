"""SimMIM, mini ViT, on the mini benchmark, 18 epochs.

python tools/train.py mm_configs/mini/pretrain/simmim_vit-mini-p8_1xb64-coslr-18e_mini.py
"""

_base_ = [
    "../../_base_/models/simmim_vit-base-p16.py",
    "../../_base_/models/vit-mini-p8.py",
    "../../_base_/datasets/mini_masked_patches.py",
    "../../_base_/schedules/pretrain_mini.py",
    "../../_base_/pretrain_runtime.py",
]

max_epochs = 18
patch = _base_.vit_mini_patch
model = dict(
    backbone=dict(arch=dict(_delete_=True, **_base_.vit_mini), img_size=64, patch_size=patch, drop_path_rate=0.0),
    neck=dict(in_channels=_base_.vit_mini.embed_dims, encoder_stride=patch),
    head=dict(patch_size=patch),
)
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(betas=(0.9, 0.999), lr=_base_.base_lr * _base_.batch_size / _base_.base_lr_images))
auto_scale_lr = dict(base_batch_size=_base_.batch_size, enable=True)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
