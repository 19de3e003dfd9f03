"""DINO, mini ViT, on the mini benchmark, 6 epochs: as many pixels seen as by MAE in 18.

python tools/train.py mm_configs/mini/pretrain/dino_vit-mini-p8_1xb64-coslr-6e_mini.py
"""

_base_ = [
    "../../_base_/models/dino_vit-small-p16.py",
    "../../_base_/models/vit-mini-p8.py",
    "../../_base_/datasets/mini_multicrop.py",
    "../../_base_/schedules/self_distillation.py",
    "../../_base_/pretrain_runtime.py",
]

max_epochs, warmup_epochs, base_lr = 6, 1, 4e-3
embed_dims = _base_.vit_mini.embed_dims
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, **_base_.vit_mini), img_size=_base_.global_size, patch_size=_base_.vit_mini_patch
    ),
    head=dict(in_dim=embed_dims, out_dim=1024, hidden_dim=256, bottleneck_dim=64),
    drop_path_rate=0.0,
    momentum=0.99,
)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=base_lr * _base_.batch_size / _base_.base_lr_images))
auto_scale_lr = dict(base_batch_size=_base_.batch_size, enable=True)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=warmup_epochs)
param_scheduler[1].update(begin=warmup_epochs, end=max_epochs)
custom_hooks = [*_base_.custom_hooks, *_base_.method_hooks]
