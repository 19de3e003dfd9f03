"""MAE with a decoder of width 256 instead of 512.

MAE's own ablation (arXiv 2111.06377, Table 1b) is a ViT-L/16, 800 epochs; this is ViT-B, 300 epochs.
"""

_base_ = "../mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py"

model = dict(neck=dict(decoder_embed_dim=256))
