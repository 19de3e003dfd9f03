"""MixedAE-Full: G mixed samples per group, B per batch; 300 epochs, batch 1024.

    torchrun --nproc-per-node 8 tools/train.py <this file> --launcher pytorch

Published (arXiv 2303.17152, Table 1): 83.8 % top-1, 48.9 mIoU, 51.0 box AP, 44.1 mask AP; 62.3 GPU-days.
Batch: section 4.1.
"""

_base_ = "./mixedae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py"

batch_size = 1024  # all processes together: the batch that lr is for
model = dict(mode="full")
train_dataloader = dict(batch_size=batch_size // _base_.num_gpus)
optim_wrapper = dict(optimizer=dict(lr=_base_.base_lr * batch_size / _base_.base_lr_images))
auto_scale_lr = dict(base_batch_size=batch_size)
