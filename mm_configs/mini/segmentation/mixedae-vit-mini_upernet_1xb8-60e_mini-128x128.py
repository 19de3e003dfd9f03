"""As the 20-epoch leaf, for 60 epochs: for suites/mini_long.yaml."""

_base_ = "mixedae-vit-mini_upernet_1xb8-20e_mini-128x128.py"

train_cfg = dict(max_epochs=60)
