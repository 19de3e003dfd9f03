"""iBOT, ViT-B/16, 400 epochs of ImageNet-1K, batch 1,024.

    torchrun --nproc-per-node 16 tools/train.py <this file> --launcher pytorch

A third party's copy of the arguments: clip 0.3, prototypes frozen for 3 epochs, temperature to 0.07 in 50 epochs, down
to 2e-6. The official file could not be read; the learning rate, 7.5e-4 at this batch, is DINO's of ViT-B and not
confirmed.
"""

_base_ = "./ibot_vit-small-p16_16xb64-amp-coslr-800e_in1k.py"

max_epochs, lr, embed_dims = 400, 7.5e-4, 768
model = dict(
    backbone=dict(arch=dict(embed_dims=embed_dims, num_layers=12, num_heads=12, feedforward_channels=4 * embed_dims)),
    head=dict(in_dim=embed_dims),
    warmup_epochs=50,
    frozen_epochs=3,
)
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=lr), clip_grad=dict(max_norm=0.3))
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, eta_min=2e-6)
