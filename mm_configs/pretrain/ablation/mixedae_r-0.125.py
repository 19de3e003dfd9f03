"""Mixing ratio r = 0.125 with K = 0.125 L: eight images a group.

Not in the paper.
"""

_base_ = "./mixedae.py"

model = dict(group_size=8, backbone=dict(topk_ratio=0.125))
