"""Homologous attention only, no contrastive loss.

Published (arXiv 2303.17152, Table 3f, second row): 82.6 % top-1 on ImageNet, 44.5 mIoU on ADE20K.
"""

_base_ = "./mixedae.py"

model = dict(head=dict(contrastive_weight=0.0))
