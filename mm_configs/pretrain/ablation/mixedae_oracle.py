"""The sources as the attention mask in every layer, no contrastive loss: recognition for free.

MixMIM's masked self-attention (section 2), a bound: what it gains over mixedae.py is what recognition costs.
"""

_base_ = "./mixedae.py"

model = dict(backbone=dict(attention="oracle"), head=dict(contrastive_weight=0.0))
