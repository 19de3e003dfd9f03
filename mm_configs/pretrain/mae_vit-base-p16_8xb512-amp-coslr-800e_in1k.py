"""MAE, ViT-B/16, 800 epochs of ImageNet-1K, 8 processes x 512 images.

    torchrun --nproc-per-node 8 tools/train.py <this file> --launcher pytorch

Published (arXiv 2303.17152, Table 1): 83.3 % top-1 after fine-tuning, tolerance 0.2.
Base learning rate: official MAE, PRETRAIN.md.
"""

_base_ = "./mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py"

max_epochs = 800
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
