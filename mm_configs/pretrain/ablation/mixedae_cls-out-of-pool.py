"""Patches choose among the L patches only: [CLS] is no key of homologous attention.

The paper does not say; the default has L + 1 keys.
"""

_base_ = "./mixedae.py"

model = dict(backbone=dict(cls_in_pool=False))
