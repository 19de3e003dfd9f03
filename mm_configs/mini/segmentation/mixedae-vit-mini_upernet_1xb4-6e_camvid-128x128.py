"""UperNet with the mini ViT on CamVid, 6 epochs: real photographs, some minutes on one core.

MIXEDAE_DATA_CAMVID=DIR python tools/train.py
    mm_configs/mini/segmentation/mixedae-vit-mini_upernet_1xb4-6e_camvid-128x128.py
    --cfg-options model.backbone.init_cfg.checkpoint=PATH
"""

_base_ = [
    "../../_base_/models/upernet_vit-mini.py",
    "../../_base_/datasets/camvid.py",
    "../../_base_/schedules/segmentation_mini.py",
    "../../_base_/segmentation_runtime.py",
]

crop_size, num_classes = _base_.crop_size, len(_base_.classes)
stride = tuple(side * 2 // 3 for side in crop_size)  # as in the full-size recipe
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(img_size=crop_size),
    decode_head=dict(num_classes=num_classes),
    auxiliary_head=dict(num_classes=num_classes),
    test_cfg=dict(crop_size=crop_size, stride=stride),
)
train_cfg = dict(max_epochs=6)
train_dataloader = dict(batch_size=_base_.batch_size)
