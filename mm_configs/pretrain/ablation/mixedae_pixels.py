"""Plain pixels as the target instead of per-patch normalised ones.

MAE's ablation (arXiv 2111.06377, Table 1d), here for MixedAE.
"""

_base_ = "./mixedae.py"

model = dict(head=dict(norm_pix=False))
