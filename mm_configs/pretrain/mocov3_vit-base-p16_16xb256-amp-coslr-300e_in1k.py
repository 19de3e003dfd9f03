"""MoCo v3, ViT-B/16, 300 epochs of ImageNet-1K, batch 4,096: facebookresearch/moco-v3 CONFIG.md.

    torchrun --nproc-per-node 16 tools/train.py <this file> --launcher pytorch

Each picture is seen as two crops: 600 effective epochs. The projector's BatchNorm is over all processes, as there.
"""

_base_ = [
    "../_base_/models/mocov3_vit-base-p16.py",
    "../_base_/datasets/imagenet_two_views.py",
    "../_base_/schedules/pretrain_adamw.py",
    "../_base_/pretrain_runtime.py",
]

max_epochs, base_lr, num_gpus = 300, 1.5e-4, 16
model = dict(neck=dict(norm_cfg=dict(type="SyncBN")), head=dict(predictor=dict(norm_cfg=dict(type="SyncBN"))))
train_dataloader = dict(batch_size=_base_.batch_size // num_gpus)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs)
optim_wrapper = dict(
    optimizer=dict(betas=(0.9, 0.999), weight_decay=0.1, lr=base_lr * _base_.batch_size / _base_.base_lr_images),
)
auto_scale_lr = dict(base_batch_size=_base_.batch_size, enable=True)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
custom_hooks = [*_base_.custom_hooks, dict(type="mixedae.CollapseHook")]
