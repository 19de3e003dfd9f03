"""Linear probing of ViT-B/16: the frozen backbone's [CLS], BatchNorm without affine parameters, a linear layer.

MAE FINETUNE.md (``--cls_token``) and main_linprobe.py: BatchNorm1d(affine=False, eps=1e-6), weights from a
truncated normal distribution with deviation 0.01.
"""

_base_ = "vit-base_classifier.py"

model = dict(
    backbone=dict(out_type="cls_token", final_norm=True, drop_path_rate=0.0, trainable_blocks=0),
    neck=dict(type="ClsBatchNormNeck", input_features=768),
    head=dict(
        loss=dict(_delete_=True, type="CrossEntropyLoss"),
        init_cfg=dict(type="TruncNormal", layer="Linear", std=0.01),
    ),
    train_cfg=dict(_delete_=True),  # neither mixup nor cutmix
)
