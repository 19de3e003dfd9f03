"""The frozen ViT-B/16 alone, as maps of its last layer behind the final norm: what the dense probes read.

Another layer: model.backbone.out_indices=(7,); the last four side by side: model.backbone.out_indices=(8,9,10,11). The
final norm acts on the last layer only.
"""

model = dict(
    type="mixedae.FrozenEncoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type="mixedae.MixedAEViT",
        arch="base",
        img_size=224,
        patch_size=16,
        out_type="featmap",
        final_norm=True,
        trainable_blocks=0,
        init_cfg=dict(type="mixedae.PretrainedViT", checkpoint=None),
    ),
)
"""Its positions are those of 224 x 224; other pictures interpolate them."""
