"""Fine-tune ViT-H/14 on ImageNet-1K, 50 epochs: MAE FINETUNE.md (as ViT-L, drop path 0.3).

tools/dist_train.sh mm_configs/classification/mixedae-vit-huge-p14_8xb128-amp-coslr-50e_in1k.py 8 \
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

Expected top-1: 86.9 with official MAE's weights (FINETUNE.md, fine-tuned checkpoint 86.928). It uses the patch
tokens' mean and not [CLS], because with mixed precision [CLS] may end in NaN for ViT-H (FINETUNE.md, Notes).
"""

_base_ = "mixedae-vit-large-p16_8xb128-amp-coslr-50e_in1k.py"

model = dict(backbone=dict(arch="huge", patch_size=14, drop_path_rate=0.3), head=dict(in_channels=1280))
