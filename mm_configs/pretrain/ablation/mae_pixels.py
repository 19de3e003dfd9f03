"""MAE with plain pixels as the target.

MAE's own ablation (arXiv 2111.06377, Table 1d) is a ViT-L/16, 800 epochs; this is ViT-B, 300 epochs.
"""

_base_ = "../mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py"

model = dict(head=dict(norm_pix=False))
