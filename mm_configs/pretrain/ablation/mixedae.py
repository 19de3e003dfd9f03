"""MixedAE as its ablations run it: 300 epochs, compose mixing, base learning rate 1.5e-4 (section 4.4).

    python tools/bench.py run ablation --data imagenet=DIR --data ade20k=DIR

The leaves beside it change one thing each; suites/ablation.yaml, ablation_open.yaml and ablation_mae.yaml name them.
The parent's base learning rate is 7.5e-5 (section 4.1); everything else is the same.
Published (arXiv 2303.17152, Tables 3e and 3f, last row): 82.7 % top-1 on ImageNet, 46.4 mIoU on ADE20K.
"""

_base_ = "../mixedae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py"

base_lr = 1.5e-4
optim_wrapper = dict(optimizer=dict(lr=base_lr * _base_.batch_size / _base_.base_lr_images))
