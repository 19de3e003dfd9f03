"""MixedAE, mini ViT, on the mini benchmark, 20 epochs: suites/mini_long.yaml.

python tools/train.py mm_configs/mini/pretrain/mixedae_vit-mini-p8_1xb64-coslr-20e_mini.py
"""

_base_ = "./mixedae_vit-mini-p8_1xb64-coslr-15e_mini.py"

max_epochs = 20
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
