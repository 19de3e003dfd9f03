"""Cascade Mask R-CNN with the mini ViT on the mini benchmark's scenes, 10 epochs.

python tools/train.py mm_configs/mini/detection/cascade-mask-rcnn_mixedae-vit-mini_fpn_10e_mini.py
    --cfg-options model.backbone.init_cfg.checkpoint=PATH
"""

_base_ = [
    "../../_base_/models/cascade-mask-rcnn_vit-mini.py",
    "../../_base_/datasets/mini_detection.py",
    "../../_base_/schedules/detection_mini.py",
    "../../_base_/detection_runtime.py",
]

num_classes = len(_base_.classes)
model = dict(
    backbone=dict(img_size=_base_.img_size),
    roi_head=dict(
        bbox_head=[dict(head, num_classes=num_classes) for head in _base_.model.roi_head.bbox_head],
        mask_head=dict(num_classes=num_classes),
    ),
)
train_cfg = dict(max_epochs=10)
train_dataloader = dict(batch_size=_base_.batch_size)
