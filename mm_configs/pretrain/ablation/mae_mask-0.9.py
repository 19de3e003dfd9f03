"""MAE with 90 % of the patches masked.

MAE's own ablation (arXiv 2111.06377, Fig. 5) is a ViT-L/16, 800 epochs; this is ViT-B, 300 epochs.
"""

_base_ = "../mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py"

model = dict(mask_ratio=0.9)
