"""Mask R-CNN as ViTDet has it, ViT-B/16, COCO, 100 epochs with large-scale jitter: what later MAE papers report.

tools/dist_train.sh mm_configs/detection/mask-rcnn_mixedae-vit-base_vitdet_8xb8-amp-lsj-100e_coco.py 8 \
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

Expected box / mask AP with official MAE's weights, 1600 epochs: 51.6 / 45.9, tolerance 0.3 (standard deviation 0.1 over
five runs; both detectron2 projects/ViTDet/README.md). Every other number is inherited.
model.backbone.with_cp=True saves memory.
"""

_base_ = [
    "../_base_/models/mask-rcnn_vitdet-base.py",
    "../_base_/datasets/coco_lsj.py",
    "../_base_/schedules/detection_lsj_100e.py",
    "../_base_/detection_runtime.py",
]

num_gpus = 8
train_dataloader = dict(batch_size=_base_.batch_size // num_gpus)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=_base_.interval, save_last=True),
)
