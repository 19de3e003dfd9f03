"""Naive mixing: neither homologous attention nor the contrastive loss, r = 0.25.

Published (arXiv 2303.17152, Tables 3a and 3f, first row): 82.4 % top-1 on ImageNet, 45.0 mIoU on ADE20K.
"""

_base_ = "./mixedae.py"

model = dict(backbone=dict(attention="plain"), head=dict(contrastive_weight=0.0))
