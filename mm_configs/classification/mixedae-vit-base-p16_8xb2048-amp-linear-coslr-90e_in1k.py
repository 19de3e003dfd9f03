"""Linear probing of ViT-B/16 on ImageNet-1K, 90 epochs: MAE's recipe.

tools/dist_train.sh mm_configs/classification/mixedae-vit-base-p16_8xb2048-amp-linear-coslr-90e_in1k.py 8 \
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

Overlay ``efficient``: efficient probing's protocol (billpsomas/efficient-probing): batches of 4096, [CLS] without the
final norm; they report the best epoch.

Expected top-1 with official MAE's weights, 1600 epochs: 67.8 (MAE FINETUNE.md; the paper's own code 68.0).
"""

_base_ = [
    "../_base_/models/vit-base_linear-probe.py",
    "../_base_/datasets/imagenet_linear.py",
    "../_base_/schedules/imagenet_linear_90e.py",
    "../_base_/classification_runtime.py",
]

num_gpus = 8
train_dataloader = dict(batch_size=_base_.batch_size // num_gpus)

efficient = dict(
    model=dict(backbone=dict(final_norm=False)),
    train_dataloader=dict(batch_size=4096 // num_gpus),
    optim_wrapper=dict(optimizer=dict(lr=_base_.base_lr * 4096 / 256)),
    auto_scale_lr=dict(base_batch_size=4096),
)
