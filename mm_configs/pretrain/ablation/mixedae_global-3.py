"""Plain attention in the first three layers.

Published (arXiv 2303.17152, Table 3e, fourth row): 82.5 % top-1 on ImageNet, 45.6 mIoU on ADE20K.
"""

_base_ = "./mixedae.py"

model = dict(backbone=dict(num_global_layers=3))
