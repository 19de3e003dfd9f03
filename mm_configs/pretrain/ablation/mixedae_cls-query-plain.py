"""[CLS] attends to every token instead of its K highest.

The paper does not say.
"""

_base_ = "./mixedae.py"

model = dict(backbone=dict(cls_query="plain"))
