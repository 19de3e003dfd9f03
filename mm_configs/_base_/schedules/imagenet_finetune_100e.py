"""Fine-tuning ViT-B on ImageNet-1K for 100 epochs: MAE FINETUNE.md and main_finetune.py."""

batch_size = 1024  # all processes together: the batch that lr is for
base_lr = 5e-4  # for 256 images
lr = base_lr * batch_size / 256
min_lr = 1e-6  # times the layer's scale, as in MAE; with mmpretrain's eta_min every layer ends at the same value
warmup_epochs = 5

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=100, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="AmpOptimWrapper",  # dynamic loss scale; mmpretrain's recipe is fp32, MAE's is mixed precision
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="mixedae.LearningRateDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.65),  # biases, norms, [CLS] and positions have no weight decay
)
auto_scale_lr = dict(base_batch_size=batch_size, enable=True, accumulate=True)  # on any number of GPUs
# Both by iteration. An end that is not given is the last epoch.
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-4, begin=0, end=warmup_epochs, by_epoch=True, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        eta_min_ratio=min_lr / lr,
        begin=warmup_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
