"""[MASK] in the place of [CLS] in the decoder.

The paper does not say; by default each unmixed sequence carries the mixed sample's [CLS].
"""

_base_ = "./mixedae.py"

model = dict(neck=dict(unmixed_cls="mask"))
