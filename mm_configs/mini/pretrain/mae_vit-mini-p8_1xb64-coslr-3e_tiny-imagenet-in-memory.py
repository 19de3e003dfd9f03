"""MAE, mini ViT, on a small ImageNet-style folder of photographs, 3 epochs, input from memory.

The recipe of the leaf without "-in-memory"; docs/performance.md, *Input*, says what is gained.

MIXEDAE_DATA_IMAGENET=DIR python tools/train.py
    mm_configs/mini/pretrain/mae_vit-mini-p8_1xb64-coslr-3e_tiny-imagenet-in-memory.py
"""

_base_ = [
    "../../_base_/models/mae_vit-mini-p8.py",
    "../../_base_/datasets/tiny_imagenet_in_memory.py",
    "../../_base_/schedules/pretrain_mini.py",
    "../../_base_/pretrain_runtime.py",
]

model = dict(data_preprocessor=_base_.crop_preprocessor)
max_epochs = 3
base_lr = 8e-3
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=base_lr * _base_.batch_size / _base_.base_lr_images))
auto_scale_lr = dict(base_batch_size=_base_.batch_size, enable=True)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
