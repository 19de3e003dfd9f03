"""The crops of two_views.py on the mini benchmark, at 64 px."""

_base_ = ["./mini_pretrain.py", "./two_views.py"]

train_pipeline = _base_.two_views
train_pipeline[1]["transforms"][0][0]["scale"] = 64
train_pipeline[1]["transforms"][1][0]["scale"] = 64
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
