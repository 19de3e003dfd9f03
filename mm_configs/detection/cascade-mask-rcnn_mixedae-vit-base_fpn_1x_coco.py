"""Cascade Mask R-CNN, ViT-B/16, COCO, 1x: iBOT's recipe, the most likely one behind the MixedAE paper's numbers.

python tools/train.py mm_configs/detection/cascade-mask-rcnn_mixedae-vit-base_fpn_1x_coco.py
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

Expected box / mask AP (paper, Table 1), tolerance 0.3 (random variation, facebookresearch/moco#39): MAE 300, 800,
1600 epochs 47.2 / 41.1, 49.4 / 42.9, 50.6 / 43.8; MixedAE 47.8 / 41.6, 50.3 / 43.5, 51.5 / 44.5. Every other
number is inherited.
"""

_base_ = [
    "../_base_/models/cascade-mask-rcnn_vit-base.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/detection_1x.py",
    "../_base_/detection_runtime.py",
]

num_gpus = 8
train_dataloader = dict(batch_size=_base_.batch_size // num_gpus)
