"""Naive mixing with r = 0.5: two images a group.

Published (arXiv 2303.17152, Table 3a, second row): 82.3 % top-1 on ImageNet, 44.2 mIoU on ADE20K.
"""

_base_ = "./mixedae.py"

model = dict(group_size=2, backbone=dict(attention="plain"), head=dict(contrastive_weight=0.0))
