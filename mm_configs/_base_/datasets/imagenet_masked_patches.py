"""The masks of masked_patches.py on ImageNet-1K."""

_base_ = ["./imagenet_pretrain.py", "./masked_patches.py"]

train_pipeline = _base_.masked_patches
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
