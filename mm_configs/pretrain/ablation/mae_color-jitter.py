"""MAE with colour jitter on top of crop and flip.

Strengths: MoCo v2's (arXiv 2003.04297); neither paper states its own.

MAE's own ablation (arXiv 2111.06377, Table 1e) is a ViT-L/16, 800 epochs; this is ViT-B, 300 epochs.
"""

_base_ = "../mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py"

pipeline = list(_base_.train_pipeline)
jitter = dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, backend="pillow")
pipeline.insert(3, jitter)
train_dataloader = dict(dataset=dict(pipeline=pipeline))
