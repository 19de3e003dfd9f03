"""MixedAE, ViT-B/16, 300 epochs of ImageNet-1K, 8 processes x 512 images.

    torchrun --nproc-per-node 8 tools/train.py <this file> --launcher pytorch

Published (arXiv 2303.17152, Table 1): 83.1 % top-1 after fine-tuning, tolerance 0.2.
Base learning rate: section 4.1.
"""

_base_ = [
    "../_base_/models/mixedae_vit-base-p16.py",
    "../_base_/datasets/imagenet_pretrain.py",
    "../_base_/schedules/pretrain_adamw.py",
    "../_base_/pretrain_runtime.py",
]

max_epochs = 300
base_lr = 7.5e-5
num_gpus = 8

train_dataloader = dict(batch_size=_base_.batch_size // num_gpus)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs)
optim_wrapper = dict(
    optimizer=dict(lr=base_lr * _base_.batch_size / _base_.base_lr_images, fused=True)  # one kernel for all parameters
)
auto_scale_lr = dict(base_batch_size=_base_.batch_size, enable=True)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
custom_hooks = [*_base_.custom_hooks, dict(type="mixedae.RecognitionHook")]  # Fig. 6b during training
