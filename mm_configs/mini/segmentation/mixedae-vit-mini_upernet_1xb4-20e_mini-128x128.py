"""UperNet with the mini ViT on the mini benchmark's scenes, 20 epochs.

Four pixels of five are background. It weighs a tenth in the loss; otherwise so short a run predicts nothing else.

python tools/train.py mm_configs/mini/segmentation/mixedae-vit-mini_upernet_1xb4-20e_mini-128x128.py
    --cfg-options model.backbone.init_cfg.checkpoint=PATH
"""

_base_ = [
    "../../_base_/models/upernet_vit-mini.py",
    "../../_base_/datasets/mini_segmentation.py",
    "../../_base_/schedules/segmentation_mini.py",
    "../../_base_/segmentation_runtime.py",
]

crop_size, num_classes = _base_.crop_size, len(_base_.classes)
stride = tuple(side * 2 // 3 for side in crop_size)  # as in the full-size recipe
loss = dict(class_weight=[0.1] + [1.0] * (num_classes - 1))
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(img_size=crop_size),
    decode_head=dict(num_classes=num_classes, loss_decode=loss),
    auxiliary_head=dict(num_classes=num_classes, loss_decode=loss),
    test_cfg=dict(crop_size=crop_size, stride=stride),
)
train_cfg = dict(max_epochs=20)
train_dataloader = dict(batch_size=_base_.batch_size)
