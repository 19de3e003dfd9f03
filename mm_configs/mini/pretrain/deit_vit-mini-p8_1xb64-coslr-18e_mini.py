"""DeiT, mini ViT: supervised pre-training on the mini benchmark's labelled pictures.

python tools/train.py mm_configs/mini/pretrain/deit_vit-mini-p8_1xb64-coslr-18e_mini.py

An epoch is 27 passes over the 300 pictures: 8,100, where the unlabelled ones are 8,000.
"""

_base_ = [
    "../../_base_/models/vit-mini_classifier.py",
    "../../_base_/datasets/mini_classification.py",
    "../../_base_/schedules/pretrain_mini.py",
    "../../_base_/classification_runtime.py",
]

batch_size, base_lr, max_epochs, repeats = 64, 4e-3, 18, 27
model = dict(backbone=dict(out_type="cls_token", final_norm=True, init_cfg=None))
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(_delete_=True, type="RepeatDataset", times=repeats, dataset=_base_.train_dataloader.dataset),
)
train_cfg = dict(max_epochs=max_epochs)
val_dataloader, val_evaluator, test_dataloader, test_evaluator = None, None, None, None  # the tasks measure
optim_wrapper = dict(
    optimizer=dict(betas=(0.9, 0.999), lr=base_lr * batch_size / _base_.base_lr_images),
    paramwise_cfg=dict(no_decay=("cls_token", "pos_embed")),
)
auto_scale_lr = dict(base_batch_size=batch_size, enable=True)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
