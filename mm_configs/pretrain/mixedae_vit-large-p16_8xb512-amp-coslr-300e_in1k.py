"""MixedAE, ViT-L/16, 300 epochs.

    torchrun --nproc-per-node 8 tools/train.py <this file> --launcher pytorch

The paper's ViT-L stands in its appendix C, which could not be read. Decoder and schedule: those of ViT-B, as in MAE.
"""

_base_ = "./mixedae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py"

embed_dims = 1024
model = dict(backbone=dict(arch="large"), neck=dict(embed_dim=embed_dims), head=dict(embed_dims=embed_dims))
