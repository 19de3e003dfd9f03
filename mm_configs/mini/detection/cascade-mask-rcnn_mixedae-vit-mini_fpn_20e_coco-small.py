"""Cascade Mask R-CNN with the mini ViT on 8 real COCO pictures: does the pipeline learn them by heart?

MIXEDAE_DATA_COCO=DIR python tools/train.py
    mm_configs/mini/detection/cascade-mask-rcnn_mixedae-vit-mini_fpn_20e_coco-small.py
    --cfg-options model.backbone.init_cfg.checkpoint=PATH
"""

_base_ = [
    "../../_base_/models/cascade-mask-rcnn_vit-mini.py",
    "../../_base_/datasets/coco_small.py",
    "../../_base_/schedules/detection_mini.py",
    "../../_base_/detection_runtime.py",
]

model = dict(backbone=dict(img_size=_base_.img_size))
train_cfg = dict(max_epochs=20)
train_dataloader = dict(batch_size=_base_.batch_size)
