"""5,000 steps of SGD with Nesterov momentum, cosine to zero by step: linusericsson/ssl-transfer, finetune.py.

Learning rate and weight decay are chosen from a grid, on held-out training pictures. Weight decay is given as wd / lr:
a step takes lr x weight decay off a weight, which is then the grid's wd. No layer decay, no warm-up, fp32. A total
batch other than 64 is refused: scaling the learning rate to it would not scale wd / lr along.
"""

lr, wd = 1e-2, 1e-5  # the middle of the grid (mm_configs/benchmark/suites/eleven.yaml), for a run by hand
max_iters = 5000

train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=lr, momentum=0.9, nesterov=True, weight_decay=wd / lr),
)
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=False, begin=0, end=max_iters, eta_min=0.0)]
auto_scale_lr = dict(base_batch_size=64, enable=False)
