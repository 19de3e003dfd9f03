"""MixedAE, ViT-H/14 (256 patches), 300 epochs.

    torchrun --nproc-per-node 8 tools/train.py <this file> --launcher pytorch

No published counterpart. Decoder and schedule: those of ViT-B, as in MAE.
"""

_base_ = "./mixedae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py"

embed_dims, patch_size = 1280, 14
model = dict(
    backbone=dict(arch="huge", patch_size=patch_size),
    neck=dict(embed_dim=embed_dims, patch_size=patch_size, num_patches=(_base_.img_size // patch_size) ** 2),
    head=dict(embed_dims=embed_dims),
)
