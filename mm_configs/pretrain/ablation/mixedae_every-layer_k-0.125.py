"""Homologous attention in every layer, K = 0.125 L.

Published (arXiv 2303.17152, Table 3d): 82.6 % top-1 on ImageNet, 45.1 mIoU on ADE20K.
"""

_base_ = "./mixedae.py"

model = dict(backbone=dict(topk_ratio=0.125, num_global_layers=0))
