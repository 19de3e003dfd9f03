"""Contrastive loss only, on the features before the final LayerNorm.

Published (arXiv 2303.17152, Table 3b, first row): 82.4 % top-1 on ImageNet, 44.5 mIoU on ADE20K.
"""

_base_ = "./mixedae.py"

model = dict(backbone=dict(attention="plain"), head=dict(contrast="pre-norm"))
