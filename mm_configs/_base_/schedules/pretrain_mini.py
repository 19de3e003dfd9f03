"""Pre-training the mini ViT: pretrain_adamw.py's rules in fp32, one epoch of warm-up.

The base learning rate was the best of four for both methods (suites/mini_tuning.yaml, RESULTS.md).
"""

_base_ = "./pretrain_adamw.py"

base_lr = 4e-3
warmup_epochs = 1
train_cfg = dict(type="EpochBasedTrainLoop")
optim_wrapper = dict(type="OptimWrapper", loss_scale=None)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=warmup_epochs)
param_scheduler[1].update(begin=warmup_epochs)
