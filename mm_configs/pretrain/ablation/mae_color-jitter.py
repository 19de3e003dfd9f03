"""MAE with colour jitter on top of crop and flip; strengths: _base_/datasets/color_jitter.py.

MAE's own ablation (arXiv 2111.06377, Table 1e) is a ViT-L/16, 800 epochs; this is ViT-B, 300 epochs.
"""

_base_ = ["../mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py", "../../_base_/datasets/color_jitter.py"]

train_dataloader = dict(dataset=dict(pipeline=_base_.jitter_pipeline))
