"""Fine-tune the mini ViT on Tiny ImageNet's 100 classes for 1 epoch: real photographs, some minutes on one core.

MIXEDAE_DATA_IMAGENET=DIR python tools/train.py
    mm_configs/mini/classification/mixedae-vit-mini-p8_1xb32-coslr-1e_tiny-imagenet.py
    --cfg-options model.backbone.init_cfg.checkpoint=PATH
"""

_base_ = [
    "../../_base_/models/vit-mini_classifier.py",
    "../../_base_/datasets/tiny_imagenet.py",
    "../../_base_/schedules/finetune_mini.py",
    "../../_base_/classification_runtime.py",
]

warmup_epochs = 0.2
model = dict(head=dict(num_classes=_base_.num_classes))
train_cfg = dict(max_epochs=1)
train_dataloader = dict(batch_size=_base_.batch_size)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=warmup_epochs)
param_scheduler[1].update(begin=warmup_epochs)
