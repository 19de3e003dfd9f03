"""DeiT, ViT-B/16: supervised pre-training, 300 epochs of ImageNet-1K, batch 1,024.

    torchrun --nproc-per-node 8 tools/train.py <this file> --launcher pytorch

References:
    facebookresearch/deit main.py: 34-136, 350: lr 5e-4 for 512 pictures, 5 epochs of warm-up, decay 0.05, stochastic
    depth 0.1, each picture three times (repeated augmentation), rand-m9-mstd0.5-inc1, mixup 0.8, cutmix 1, smoothing
    0.1, erasing 0.25. The averaged weights that it keeps are not evaluated. [CLS] is classified.
"""

_base_ = [
    "../_base_/models/vit-base_classifier.py",
    "../_base_/datasets/imagenet_finetune.py",
    "../_base_/schedules/pretrain_adamw.py",
    "../_base_/classification_runtime.py",
]

max_epochs, base_lr, base_lr_images, batch_size, num_gpus, warmup = 300, 5e-4, 512, 1024, 8, 5
model = dict(backbone=dict(out_type="cls_token", final_norm=True, init_cfg=None))
train_dataloader = dict(
    batch_size=batch_size // num_gpus, sampler=dict(_delete_=True, type="RepeatAugSampler", shuffle=True)
)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=10)
val_cfg, test_cfg = dict(type="ValLoop"), dict(type="TestLoop")
optim_wrapper = dict(
    optimizer=dict(betas=(0.9, 0.999), lr=base_lr * batch_size / base_lr_images),
    paramwise_cfg=dict(no_decay=("cls_token", "pos_embed")),
)
auto_scale_lr = dict(base_batch_size=batch_size, enable=True)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=warmup, start_factor=1e-3)
param_scheduler[1].update(begin=warmup, end=max_epochs, eta_min=1e-5)
