"""Fine-tune ViT-L/16 on ImageNet-1K, 50 epochs: MAE FINETUNE.md (base lr 1e-3, layer decay 0.75, drop path 0.2).

tools/dist_train.sh mm_configs/classification/mixedae-vit-large-p16_8xb128-amp-coslr-50e_in1k.py 8 \
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

Expected top-1 with official MAE's weights, 1600 epochs: 85.87 (FINETUNE.md, four seeds, standard deviation 0.07).
"""

_base_ = "mixedae-vit-base-p16_8xb128-amp-coslr-100e_in1k.py"

base_lr = 1e-3  # for 256 images
lr = base_lr * _base_.batch_size / 256
model = dict(backbone=dict(arch="large", drop_path_rate=0.2), head=dict(in_channels=1024))
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.75))
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(eta_min_ratio=_base_.min_lr / lr)
train_cfg = dict(max_epochs=50)
