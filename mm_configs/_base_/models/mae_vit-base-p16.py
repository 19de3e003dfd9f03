"""MAE, ViT-B/16, standard decoder: 8 layers, 512 wide; 75 % of the patches masked (arXiv 2111.06377, appendix A.1).

The target is pixels normalised per patch (official PRETRAIN.md: --norm_pix_loss).
"""

img_size, patch_size, embed_dims = 224, 16, 768
model = dict(
    type="mixedae.MAE",
    data_preprocessor=dict(
        type="mmpretrain.SelfSupDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type="mixedae.MixedAEPretrainViT", arch="b", img_size=img_size, patch_size=patch_size, attention="plain"
    ),
    neck=dict(
        type="mixedae.MixedAEPretrainDecoder",
        num_patches=(img_size // patch_size) ** 2,
        patch_size=patch_size,
        embed_dim=embed_dims,
        decoder_embed_dim=512,
        decoder_depth=8,
        decoder_num_heads=16,
    ),
    head=dict(type="mixedae.MixedAEPretrainHead", norm_pix=True, embed_dims=embed_dims, contrastive_weight=0.0),
)
