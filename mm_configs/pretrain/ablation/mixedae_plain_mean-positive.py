"""Contrastive loss only, the average of homologous patches as the one positive.

Published (arXiv 2303.17152, Table 3c, second row): 82.5 % top-1 on ImageNet, 45.1 mIoU on ADE20K.
"""

_base_ = "./mixedae.py"

model = dict(backbone=dict(attention="plain"), head=dict(positives="mean"))
