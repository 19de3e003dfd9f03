"""SimMIM, ViT-B/16, 800 epochs of ImageNet-1K, batch 2,048: microsoft/SimMIM configs/vit_base__800ep.

    torchrun --nproc-per-node 16 tools/train.py <this file> --launcher pytorch

Learning rate 1e-4 for 512 pictures, ten epochs of warm-up, a tenth after epoch 700; gradients clipped at 5.
"""

_base_ = [
    "../_base_/models/simmim_vit-base-p16.py",
    "../_base_/datasets/imagenet_masked_patches.py",
    "../_base_/schedules/pretrain_adamw.py",
    "../_base_/pretrain_runtime.py",
]

max_epochs, base_lr, base_lr_images, batch_size, num_gpus, warmup = 800, 1e-4, 512, 2048, 16, 10
train_dataloader = dict(batch_size=batch_size // num_gpus)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs)
optim_wrapper = dict(
    optimizer=dict(betas=(0.9, 0.999), lr=base_lr * batch_size / base_lr_images), clip_grad=dict(max_norm=5.0)
)
auto_scale_lr = dict(base_batch_size=batch_size, enable=True)
param_scheduler = [
    dict(type="LinearLR", start_factor=5e-3, by_epoch=True, begin=0, end=warmup, convert_to_iter_based=True),
    dict(type="MultiStepLR", by_epoch=True, milestones=[700], gamma=0.1),
]
