"""MAE with a decoder of 2 layers instead of 8.

MAE's own ablation (arXiv 2111.06377, Table 1a) is a ViT-L/16, 800 epochs; this is ViT-B, 300 epochs.
"""

_base_ = "../mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py"

model = dict(neck=dict(decoder_depth=2))
