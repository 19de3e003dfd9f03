"""DINO, ViT-S/16, 100 epochs of ImageNet-1K, 8 processes x 64 pictures: the defaults of main_dino.py.

    torchrun --nproc-per-node 8 tools/train.py <this file> --launcher pytorch

Each picture is seen as two crops of 224 and eight of 96: 3.47 pictures of 224 by area, so 347 effective epochs.
"""

_base_ = [
    "../_base_/models/dino_vit-small-p16.py",
    "../_base_/datasets/imagenet_multicrop.py",
    "../_base_/schedules/self_distillation.py",
    "../_base_/pretrain_runtime.py",
]

max_epochs, base_lr, batch_size, num_gpus = 100, 5e-4, 512, 8
train_dataloader = dict(batch_size=batch_size // num_gpus)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs)
optim_wrapper = dict(
    type="mixedae.EachClipAmpOptimWrapper",
    loss_scale="dynamic",
    optimizer=dict(lr=base_lr * batch_size / _base_.base_lr_images),
)
auto_scale_lr = dict(base_batch_size=batch_size, enable=True)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
custom_hooks = [*_base_.custom_hooks, *_base_.method_hooks]
