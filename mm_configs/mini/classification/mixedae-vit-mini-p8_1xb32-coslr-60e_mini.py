"""Fine-tune the mini ViT on the mini benchmark's labelled pictures, 60 epochs: a minute on one core.

python tools/train.py mm_configs/mini/classification/mixedae-vit-mini-p8_1xb32-coslr-60e_mini.py
    --cfg-options model.backbone.init_cfg.checkpoint=PATH
"""

_base_ = [
    "../../_base_/models/vit-mini_classifier.py",
    "../../_base_/datasets/mini_classification.py",
    "../../_base_/schedules/finetune_mini.py",
    "../../_base_/classification_runtime.py",
]

train_cfg = dict(max_epochs=60)
train_dataloader = dict(batch_size=_base_.batch_size)
