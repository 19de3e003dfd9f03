"""Fine-tuning the mini ViT: imagenet_finetune_100e.py's rules, scaled to a batch of 32 and a short run.

Own values, for a batch of 32: learning rate, warm-up and final learning rate; the rest is MAE's.
"""

batch_size = 32  # all processes together: the batch that lr is for
lr = 3e-3
warmup_epochs = 0.9  # below 1, so that a run of one epoch still has a schedule

train_cfg = dict(type="EpochBasedTrainLoop", val_interval=1000)  # the last epoch is always validated
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="mixedae.LearningRateDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.65),  # biases, norms, [CLS] and positions have no weight decay
)
auto_scale_lr = dict(base_batch_size=batch_size, enable=True)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-4, begin=0, end=warmup_epochs, by_epoch=True, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min_ratio=1e-3, begin=warmup_epochs, by_epoch=True, convert_to_iter_based=True),
]
