"""imagenet_finetune.py with the weak augmentation of linear probing: crops and flips (MAE main_linprobe.py)."""

_base_ = "imagenet_finetune.py"

train_pipeline = [step for step in _base_.train_pipeline if step["type"] not in ("RandAugment", "RandomErasing")]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
