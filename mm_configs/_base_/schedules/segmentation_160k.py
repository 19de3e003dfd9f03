"""UperNet on ADE20K for 160,000 iterations: implus/mae_segmentation and mmseg's ``mae-base_upernet``.

Learning rate 1e-4 and layer decay 0.65 gave 48.15 mIoU with MAE's 1600-epoch ViT-B; BEiT's 7e-4 is for BEiT's weights.
"""

batch_size = 16  # all processes together: the batch that lr is for
lr = 1e-4
warmup_iters = 1500

train_cfg = dict(type="IterBasedTrainLoop", max_iters=160_000, val_interval=16_000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
log_processor = dict(by_epoch=False)

optim_wrapper = dict(
    type="AmpOptimWrapper",  # dynamic loss scale; mmseg's fp16=dict(...) has no effect: fp32
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=0.05),
    clip_grad=None,
    constructor="mixedae.LearningRateDecayOptimWrapperConstructor",
    # Positions and [CLS] do decay, unlike in fine-tuning: the published code compares names without `backbone.`.
    paramwise_cfg=dict(layer_decay_rate=0.65, no_decay=()),
)
auto_scale_lr = dict(base_batch_size=batch_size, enable=True, accumulate=True)  # on any number of GPUs
# An end that is not given is the last iteration.
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, begin=0, end=warmup_iters, by_epoch=False),
    dict(type="PolyLR", power=1.0, eta_min=0.0, begin=warmup_iters, by_epoch=False),
]
