"""Three epochs on a small ImageNet-style folder of photographs: what both methods of suites/real_small.yaml share."""

_base_ = ["pretrain_mini.py", "../datasets/tiny_imagenet_pretrain.py"]

max_epochs = 3
base_lr = 8e-3  # what RESULTS.md's real_small was measured with
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=base_lr * _base_.batch_size / _base_.base_lr_images))
auto_scale_lr = dict(base_batch_size=_base_.batch_size, enable=True)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
