"""MixedAE, mini ViT, on the mini benchmark, 15 epochs: `make quickstart`.

python tools/train.py mm_configs/mini/pretrain/mixedae_vit-mini-p8_1xb64-coslr-15e_mini.py
"""

_base_ = [
    "../../_base_/models/mixedae_vit-mini-p8.py",
    "../../_base_/datasets/mini_pretrain.py",
    "../../_base_/schedules/pretrain_mini.py",
    "../../_base_/pretrain_runtime.py",
]

max_epochs = 15
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=_base_.base_lr * _base_.batch_size / _base_.base_lr_images))
auto_scale_lr = dict(base_batch_size=_base_.batch_size, enable=True)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
custom_hooks = [*_base_.custom_hooks, dict(type="mixedae.RecognitionHook")]  # Fig. 6b during training
