"""The crops of two_views.py on ImageNet-1K."""

_base_ = ["./imagenet_pretrain.py", "./two_views.py"]

train_pipeline = _base_.two_views
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
