"""The mini ViT's detection schedule: AdamW, warm-up, cosine to zero over the number of epochs that the leaf sets."""

batch_size = 2  # all processes together: the batch that lr is for
lr = 1e-3
warmup_iters = 40

train_cfg = dict(type="EpochBasedTrainLoop", val_interval=1000)  # the last epoch is always validated
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=warmup_iters),
    dict(
        type="CosineAnnealingLR", eta_min=0.0, by_epoch=True, begin=0, convert_to_iter_based=True
    ),  # to the last epoch
]

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="mixedae.LearningRateDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.75, no_decay=()),
)
auto_scale_lr = dict(base_batch_size=batch_size, enable=True)
