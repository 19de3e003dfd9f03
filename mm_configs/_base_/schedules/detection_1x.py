"""iBOT's COCO schedule for ViT-B: 1x (12 epochs, steps at 8 and 11), AdamW, layer decay 0.75.

The command line in iBOT's README overrides the config file's 36 epochs and layer decay 0.65, and the published 51.2 /
44.2 AP belongs to that command line (bytedance/ibot, evaluation/README.md).
"""

batch_size = 16  # all processes together: the batch that lr is for
lr = 1e-4
max_epochs = 12
warmup_iters = 500

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=warmup_iters),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=max_epochs, milestones=[8, 11], gamma=0.1),
]

optim_wrapper = dict(
    type="AmpOptimWrapper",  # iBOT: apex mixed precision
    loss_scale="dynamic",
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="mixedae.LearningRateDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.75, no_decay=()),  # iBOT decays positions and [CLS] too
)
auto_scale_lr = dict(base_batch_size=batch_size, enable=True, accumulate=True)  # on any number of GPUs
