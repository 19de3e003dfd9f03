"""MixedAE, ViT-B/16 (arXiv 2303.17152, section 4.1).

All that it shares with MAE is inherited, so the two cannot drift apart.
"""

_base_ = "./mae_vit-base-p16.py"

model = dict(
    type="mixedae.MixedAE",
    group_size=4,  # 1 / r, r = 0.25
    mode="compose",
    backbone=dict(
        attention="homologous",
        topk_ratio=0.25,  # K = 0.25 L
        num_global_layers=1,  # plain attention in the very first layer (Table 3e)
    ),
    head=dict(contrastive_weight=0.1, projector_dims=128, temperature=0.25),  # lambda of Eq. (8), section 4.1
)
