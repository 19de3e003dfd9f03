"""As the 60-epoch leaf, for 100 epochs: for suites/mini_long.yaml."""

_base_ = "mixedae-vit-mini-p8_1xb32-coslr-60e_mini.py"

train_cfg = dict(max_epochs=100)
