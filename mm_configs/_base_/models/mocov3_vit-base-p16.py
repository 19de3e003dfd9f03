"""MoCo v3, ViT-B/16: mmpretrain's algorithm on this project's ViT.

References:
    facebookresearch/moco-v3 CONFIG.md and moco/builder.py: patch projection and positions fixed, projector of three
    layers, predictor of two, 4096 wide, temperature 0.2, momentum from 0.99 to 1.
"""

embed_dims, img_size, temperature, hidden = 768, 224, 0.2, 4096
projector = dict(
    type="mmpretrain.NonLinearNeck",
    in_channels=embed_dims,
    hid_channels=hidden,
    out_channels=256,
    num_layers=3,
    with_bias=False,
    with_last_bn=True,
    with_last_bn_affine=False,
    with_last_bias=False,
    with_avg_pool=False,
)
model = dict(
    type="mmpretrain.MoCoV3",
    base_momentum=0.01,
    data_preprocessor=dict(
        type="mmpretrain.SelfSupDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type="mixedae.MixedAEViT",
        arch="b",
        img_size=img_size,
        patch_size=16,
        out_type="cls_token",
        fixed=("patch_embed.", "pos_embed"),
    ),
    neck=projector,
    head=dict(
        type="mmpretrain.MoCoV3Head",
        predictor=dict(projector, in_channels=256, num_layers=2),
        loss=dict(type="mmpretrain.CrossEntropyLoss", loss_weight=2 * temperature),
        temperature=temperature,
    ),
)
