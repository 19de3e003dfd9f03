"""The crops of multicrop.py on ImageNet-1K."""

_base_ = ["./imagenet_pretrain.py", "./multicrop.py"]

train_pipeline = _base_.multicrop
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
