"""MoCo v3, mini ViT, on the mini benchmark, 9 epochs: as many pixels seen as by MAE in 18.

python tools/train.py mm_configs/mini/pretrain/mocov3_vit-mini-p8_1xb64-coslr-9e_mini.py
"""

_base_ = [
    "../../_base_/models/mocov3_vit-base-p16.py",
    "../../_base_/models/vit-mini-p8.py",
    "../../_base_/datasets/mini_two_views.py",
    "../../_base_/schedules/pretrain_mini.py",
    "../../_base_/pretrain_runtime.py",
]

max_epochs = 9
embed_dims, hidden, out = _base_.vit_mini.embed_dims, 256, 64
model = dict(
    backbone=dict(arch=dict(_delete_=True, **_base_.vit_mini), img_size=64, patch_size=_base_.vit_mini_patch),
    neck=dict(in_channels=embed_dims, hid_channels=hidden, out_channels=out),
    head=dict(predictor=dict(in_channels=out, hid_channels=hidden, out_channels=out)),
)
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(
    optimizer=dict(betas=(0.9, 0.999), weight_decay=0.1, lr=_base_.base_lr * _base_.batch_size / _base_.base_lr_images)
)
auto_scale_lr = dict(base_batch_size=_base_.batch_size, enable=True)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
custom_hooks = [*_base_.custom_hooks, dict(type="mixedae.CollapseHook")]
