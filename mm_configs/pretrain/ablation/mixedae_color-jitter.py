"""Colour jitter on top of crop and flip.

Strengths: MoCo v2's (arXiv 2003.04297); neither paper states its own.
"""

_base_ = "./mixedae.py"

pipeline = list(_base_.train_pipeline)
jitter = dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, backend="pillow")
pipeline.insert(3, jitter)
train_dataloader = dict(dataset=dict(pipeline=pipeline))
