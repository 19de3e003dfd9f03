"""Naive mixing: neither homologous attention nor the contrastive loss.

suites/mini_ablation.yaml
"""

_base_ = "../mixedae_vit-mini-p8_1xb64-coslr-15e_mini.py"

model = dict(backbone=dict(attention="plain"), head=dict(contrastive_weight=0.0))
