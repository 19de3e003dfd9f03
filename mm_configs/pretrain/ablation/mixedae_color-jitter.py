"""Colour jitter on top of crop and flip; strengths: _base_/datasets/color_jitter.py."""

_base_ = ["./mixedae.py", "../../_base_/datasets/color_jitter.py"]

train_dataloader = dict(dataset=dict(pipeline=_base_.jitter_pipeline))
