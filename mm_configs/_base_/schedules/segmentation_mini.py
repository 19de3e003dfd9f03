"""UperNet with the mini ViT: segmentation_160k.py's rules for a batch of 4 and a short run.

Own values, for a batch of 4: learning rate, layer decay, warm-up; the rest is the ADE20K recipe's.
"""

batch_size = 4  # all processes together: the batch that lr is for
lr = 2e-3
warmup_epochs = 0.9  # below 1, so that a run of one epoch still has a schedule

train_cfg = dict(type="EpochBasedTrainLoop", val_interval=1000)  # the last epoch is always validated
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="mixedae.LearningRateDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.75, no_decay=()),
)
auto_scale_lr = dict(base_batch_size=batch_size, enable=True)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-4, begin=0, end=warmup_epochs, by_epoch=True, convert_to_iter_based=True),
    dict(
        type="PolyLR",
        power=1.0,
        eta_min=0.0,
        begin=warmup_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
