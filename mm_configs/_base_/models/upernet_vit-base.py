"""UperNet on a plain ViT-B/16, as in BEiT, MAE and mmseg's ``mae-base_upernet``.

The leaf sets the zero-initialised relative position bias and the LayerScale that those recipes add to the backbone,
the crop size and the number of classes. Positions are the pre-trained absolute ones, interpolated.
"""

embed_dims = 768  # ViT-B
norm_cfg = dict(type="SyncBN", requires_grad=True)  # on one process mmengine turns it into BN
cross_entropy = dict(type="CrossEntropyLoss", use_sigmoid=False)

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type="mixedae.MixedAEViT",
        arch="base",
        patch_size=16,
        out_type="featmap",
        out_indices=(3, 5, 7, 11),
        final_norm=False,
        drop_path_rate=0.1,
        init_cfg=dict(type="mixedae.PretrainedViT", checkpoint=None),
    ),
    neck=dict(type="mixedae.ViTPyramid", in_channels=embed_dims, norm_cfg=norm_cfg),  # strides 4, 8, 16, 32
    decode_head=dict(
        type="UPerHead",
        in_channels=[embed_dims] * 4,
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=768,
        dropout_ratio=0.1,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(cross_entropy, loss_weight=1.0),
    ),
    auxiliary_head=dict(
        type="FCNHead",
        in_channels=embed_dims,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(cross_entropy, loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="slide"),
)
