"""Plain attention in the first two layers.

Published (arXiv 2303.17152, Table 3e, third row): 82.5 % top-1 on ImageNet, 44.8 mIoU on ADE20K.
"""

_base_ = "./mixedae.py"

model = dict(backbone=dict(num_global_layers=2))
