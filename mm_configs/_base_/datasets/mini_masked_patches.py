"""The masks of masked_patches.py on the mini benchmark, at 64 px."""

_base_ = ["./mini_pretrain.py", "./masked_patches.py"]

train_pipeline = _base_.masked_patches
train_pipeline[1]["scale"] = 64
train_pipeline[3].update(input_size=64, mask_patch_size=16, model_patch_size=8)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
