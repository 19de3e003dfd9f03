"""MAE, 15 epochs, learning rate 4e-3: suites/mini_tuning.yaml."""

_base_ = "../mae_vit-mini-p8_1xb64-coslr-15e_mini.py"

base_lr = 16e-3
optim_wrapper = dict(optimizer=dict(lr=base_lr * _base_.batch_size / _base_.base_lr_images))
