"""Linear probing for 90 epochs: MAE FINETUNE.md and main_linprobe.py (LARS, no weight decay, 10 epochs of warm-up)."""

batch_size = 16384  # all processes together: the batch that lr is for
base_lr = 0.1  # for 256 images
lr = base_lr * batch_size / 256
warmup_epochs = 10

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=90, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="AmpOptimWrapper",
    # MAE's form (util/lars.py): momentum 0.9, trust coefficient 0.001, the bias is not adapted. mmpretrain's differs.
    optimizer=dict(type="mixedae.LARS", lr=lr, momentum=0.9, weight_decay=0.0),
    constructor="mixedae.LearningRateDecayOptimWrapperConstructor",
)
auto_scale_lr = dict(base_batch_size=batch_size, enable=True, accumulate=True)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-4, begin=0, end=warmup_epochs, by_epoch=True, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=0.0, begin=warmup_epochs, by_epoch=True, convert_to_iter_based=True),
]
