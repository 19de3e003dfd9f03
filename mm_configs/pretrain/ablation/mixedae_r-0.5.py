"""Mixing ratio r = 0.5 with K = 0.5 L and both components.

Table 3a has r = 0.5 without them; Table 3d finds K best when it equals r.
"""

_base_ = "./mixedae.py"

model = dict(group_size=2, backbone=dict(topk_ratio=0.5))
