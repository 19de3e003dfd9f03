"""Partial fine-tuning of ViT-B/16 on ImageNet-1K: the last 4 blocks learn, the others stay as pre-trained.

tools/dist_train.sh mm_configs/classification/mixedae-vit-base-p16_8xb128-amp-coslr-100e-partial_in1k.py 8 \
    --cfg-options model.backbone.init_cfg.checkpoint=PATH model.backbone.trainable_blocks=4

The series of MAE's figure 9, for 12 blocks: trainable_blocks of 0.5 (the last block's MLP), 1, 2, 4, 6, 9, 12. The
series' 0 is linear probing, which has a recipe of its own. MAE plots ViT-L only: no expected value for ViT-B. All else
is the full fine-tuning recipe's (MAE, section 4.3 and appendix A.1).
"""

_base_ = "mixedae-vit-base-p16_8xb128-amp-coslr-100e_in1k.py"

model = dict(backbone=dict(trainable_blocks=4))
