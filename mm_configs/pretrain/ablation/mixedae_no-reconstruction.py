"""Contrastive loss without reconstruction.

Section 4.5: it "cannot achieve reasonable performance"; the number stands in appendix C, which could not be read.
"""

_base_ = "./mixedae.py"

model = dict(reconstruction=False, neck=None)
