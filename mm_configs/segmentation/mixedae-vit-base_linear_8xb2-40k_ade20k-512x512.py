"""ADE20K by a linear layer on frozen patches of ViT-B/16, 40,000 iterations, batch 16: DINOv3's recipe.

tools/dist_train.sh mm_configs/segmentation/mixedae-vit-base_linear_8xb2-40k_ade20k-512x512.py 8 \
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

BatchNorm and a 1 x 1 convolution on the last layer behind the final norm; AdamW, learning rate and decay 1e-3, fp32,
1,500 iterations of warm-up, then cosine; crops of 512 out of short sides of 256 to 1024; tested by windows of 512 at
strides of 341 on short side 512, masks scored at their own size. Source: facebookresearch/dinov3
eval/segmentation/configs/config-ade20k-linear-training.yaml and transforms.py; during warm-up theirs falls linearly.
"""

_base_ = [
    "../_base_/models/upernet_vit-base.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/schedules/segmentation_160k.py",
    "../_base_/segmentation_runtime.py",
]

num_gpus = 8
crop_size, num_classes, max_iters = _base_.crop_size, _base_.num_classes, 40_000
lr = 1e-3
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(img_size=crop_size, out_indices=-1, final_norm=True, drop_path_rate=0.0, trainable_blocks=0),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type="mixedae.PatchLinearHead",
        in_channels=_base_.embed_dims,
        num_classes=num_classes,
        norm_cfg=_base_.norm_cfg,
        loss_decode=_base_.cross_entropy,
    ),
    auxiliary_head=None,
    test_cfg=dict(crop_size=crop_size, stride=tuple(side * 2 // 3 for side in crop_size)),
)
train_cfg = dict(max_iters=max_iters, val_interval=5_000)
train_dataloader = dict(batch_size=_base_.batch_size // num_gpus)
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=1e-3),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, begin=0, end=_base_.warmup_iters, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=0.0, begin=0, end=max_iters, T_max=max_iters, by_epoch=False),
]
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=5_000),
)
