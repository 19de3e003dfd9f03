"""ViT-B/16 and a linear layer for a small set: the mean of the patch tokens, cross entropy, no drop path, no mixup."""

model = dict(
    type="ImageClassifier",
    backbone=dict(
        type="mixedae.MixedAEViT",
        arch="base",
        img_size=224,
        patch_size=16,
        out_type="avg_featmap",  # its LayerNorm is the backbone's ln2, new: MAE's fc_norm
        final_norm=False,
        init_cfg=dict(type="mixedae.PretrainedViT", checkpoint=None),
    ),
    head=dict(
        type="LinearClsHead",
        in_channels=768,
        loss=dict(type="CrossEntropyLoss"),
        init_cfg=dict(type="TruncNormal", layer="Linear", std=2e-5),
    ),
)
