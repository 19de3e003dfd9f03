"""Sizes for pre-training the mini ViT at 64 px (64 patches), with a decoder in proportion."""

_base_ = "./vit-mini-p8.py"

mini_img_size, mini_decoder = 64, dict(decoder_embed_dim=64, decoder_depth=1, decoder_num_heads=4)
mini_pretrain = dict(
    backbone=dict(
        arch=dict(_delete_=True, **_base_.vit_mini), img_size=mini_img_size, patch_size=_base_.vit_mini_patch
    ),
    neck=dict(
        num_patches=(mini_img_size // _base_.vit_mini_patch) ** 2,
        patch_size=_base_.vit_mini_patch,
        embed_dim=_base_.vit_mini.embed_dims,
        **mini_decoder,
    ),
    head=dict(embed_dims=_base_.vit_mini.embed_dims),
)
