"""Unequal shares: the images of a group give 40, 30, 20 and 10 % of the patches.

Not in the paper, whose Eq. (2) makes them equal.
"""

_base_ = "./mixedae.py"

model = dict(shares=(0.4, 0.3, 0.2, 0.1))
