"""ViT-B/16 fine-tuned on ImageNet-1K: the patch tokens' mean, a new LayerNorm, a linear layer.

MAE FINETUNE.md (``--global_pool``, the default; MixedAE paper, section 4.1: "average of patch tokens"), as mmpretrain's
``mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py`` writes it.
"""

model = dict(
    type="ImageClassifier",
    backbone=dict(
        type="mixedae.MixedAEViT",
        arch="base",
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
        out_type="avg_featmap",  # its LayerNorm is the backbone's ln2, new: MAE's fc_norm
        final_norm=False,
        init_cfg=dict(type="mixedae.PretrainedViT", checkpoint=None),
    ),
    head=dict(
        type="LinearClsHead",
        num_classes=1000,
        in_channels=768,
        loss=dict(type="LabelSmoothLoss", label_smooth_val=0.1, mode="original"),
        init_cfg=dict(type="TruncNormal", layer="Linear", std=2e-5),
    ),
    train_cfg=dict(augments=[dict(type="Mixup", alpha=0.8), dict(type="CutMix", alpha=1.0)]),  # one of them per batch
)
