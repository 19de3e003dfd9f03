"""The sources as the attention mask, no contrastive loss: recognition for free.

suites/mini_ablation.yaml
"""

_base_ = "../mixedae_vit-mini-p8_1xb64-coslr-15e_mini.py"

model = dict(backbone=dict(attention="oracle"), head=dict(contrastive_weight=0.0))
