"""MAE, 15 epochs, half of the patches masked.

suites/mini_tuning.yaml
"""

_base_ = "../mae_vit-mini-p8_1xb64-coslr-15e_mini.py"

model = dict(mask_ratio=0.5)
