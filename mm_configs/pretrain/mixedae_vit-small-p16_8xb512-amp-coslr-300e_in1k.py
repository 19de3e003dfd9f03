"""MixedAE, ViT-S/16 (DeiT-S: 12 layers, 384 wide, 6 heads; mmpretrain's 'small' is another model), 300 epochs.

    torchrun --nproc-per-node 8 tools/train.py <this file> --launcher pytorch

No published counterpart. Decoder and schedule: those of ViT-B.
"""

_base_ = "./mixedae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py"

embed_dims = 384
model = dict(backbone=dict(arch="deit-small"), neck=dict(embed_dim=embed_dims), head=dict(embed_dims=embed_dims))
