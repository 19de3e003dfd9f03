"""SimMIM, ViT-B/16: mmpretrain's algorithm on this project's ViT.

References:
    microsoft/SimMIM configs/vit_base__800ep and data/data_simmim.py: patches of 32 masked, ratio 0.6, L1 loss, a linear
    decoder. Its ViT has relative positions shared by all layers in the place of absolute ones; this one has absolute
    ones, as the other methods here.
"""

embed_dims, img_size, patch_size, mask_patch_size = 768, 224, 16, 32
model = dict(
    type="mmpretrain.SimMIM",
    data_preprocessor=dict(
        type="mmpretrain.SelfSupDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type="mixedae.MaskedViT",
        arch="b",
        img_size=img_size,
        patch_size=patch_size,
        out_type="featmap",
        drop_path_rate=0.1,
        mask_std=0.02,
    ),
    neck=dict(type="mmpretrain.SimMIMLinearDecoder", in_channels=embed_dims, encoder_stride=patch_size),
    head=dict(
        type="mmpretrain.SimMIMHead",
        patch_size=patch_size,
        loss=dict(type="mmpretrain.PixelReconstructionLoss", criterion="L1", channel=3),
    ),
)
