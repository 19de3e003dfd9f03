"""Contrastive loss only, plain attention in every layer.

Published (arXiv 2303.17152, Tables 3b and 3c; 3d, K = 1.0 L; 3f, third row): 82.5 % top-1, 45.3 mIoU.
"""

_base_ = "./mixedae.py"

model = dict(backbone=dict(attention="plain"))
