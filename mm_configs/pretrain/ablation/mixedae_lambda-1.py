"""Weight of the contrastive loss, lambda of Eq. (8), 1 instead of 0.1.

Not in the paper's main text.
"""

_base_ = "./mixedae.py"

model = dict(head=dict(contrastive_weight=1.0))
