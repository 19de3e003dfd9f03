"""A point of the grid that mm_configs/benchmark/suites/ade20k_grid.yaml searches: lr 5e-5, layer decay 0.8."""

_base_ = "../mixedae-vit-base_upernet_8xb2-amp-160k_ade20k-512x512.py"

lr = 5e-5
layer_decay_rate = 0.8
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=layer_decay_rate))
