"""MixedAE, 15 epochs, without segment embeddings.

suites/mini_tuning.yaml
"""

_base_ = "../mixedae_vit-mini-p8_1xb64-coslr-15e_mini.py"

model = dict(segment_embedding="none")
