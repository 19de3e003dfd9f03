"""The crops of multicrop.py on the mini benchmark, at 64 and 32 px."""

_base_ = ["./mini_pretrain.py", "./multicrop.py"]

global_size, local_size = 64, 32
train_pipeline = _base_.multicrop
train_pipeline[1]["num_views"] = [1, 1, 4]
train_pipeline[1]["transforms"][0][0]["scale"] = global_size
train_pipeline[1]["transforms"][1][0]["scale"] = global_size
train_pipeline[1]["transforms"][2][0]["scale"] = local_size
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
