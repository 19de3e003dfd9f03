"""UperNet with ViT-B/16 on ADE20K, 160k iterations, batch 16: "following BEiT" (MixedAE paper), with MAE's values.

tools/dist_train.sh mm_configs/segmentation/mixedae-vit-base_upernet_8xb2-amp-160k_ade20k-512x512.py 8 \
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

Test with several scales and flips: tools/test.py CONFIG CHECKPOINT --tta.

Expected mIoU, single scale (paper, Table 1), tolerance 0.5: pre-trained for 300, 800, 1600 epochs MAE 46.1,
47.2, 48.1; MixedAE 47.0, 48.7, 49.8. MAE's 1600-epoch weights in implus/mae_segmentation: 48.15;
mmseg's copy of it: 48.13, with several scales and flips 48.70.
"""

_base_ = [
    "../_base_/models/upernet_vit-base.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/schedules/segmentation_160k.py",
    "../_base_/segmentation_runtime.py",
]

num_gpus = 8
crop_size, num_classes = _base_.crop_size, _base_.num_classes
stride = tuple(side * 2 // 3 for side in crop_size)  # 341, BEiT's
model = dict(
    data_preprocessor=dict(size=crop_size),
    # implus, mmseg: a zero bias beside the interpolated positions, LayerScale of 1; to omit: "none", 0.0
    backbone=dict(img_size=crop_size, relative_position="table", layer_scale_init_value=1.0),
    decode_head=dict(num_classes=num_classes),
    auxiliary_head=dict(num_classes=num_classes),
    test_cfg=dict(crop_size=crop_size, stride=stride),
)
train_dataloader = dict(batch_size=_base_.batch_size // num_gpus)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=_base_.train_cfg.val_interval),
)
