"""MixedAE, mini ViT, on a small ImageNet-style folder of photographs, 3 epochs: suites/real_small.yaml.

MIXEDAE_DATA_IMAGENET=DIR python tools/train.py
    mm_configs/mini/pretrain/mixedae_vit-mini-p8_1xb64-coslr-3e_tiny-imagenet.py
"""

_base_ = [
    "../../_base_/models/mixedae_vit-mini-p8.py",
    "../../_base_/datasets/tiny_imagenet_pretrain.py",
    "../../_base_/schedules/pretrain_mini.py",
    "../../_base_/pretrain_runtime.py",
]

max_epochs = 3
base_lr = 8e-3  # what RESULTS.md's real_small was measured with
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=base_lr * _base_.batch_size / _base_.base_lr_images))
auto_scale_lr = dict(base_batch_size=_base_.batch_size, enable=True)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
custom_hooks = [*_base_.custom_hooks, dict(type="mixedae.RecognitionHook")]  # Fig. 6b as it grows
