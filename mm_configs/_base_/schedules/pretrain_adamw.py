"""AdamW, warm-up, cosine to zero: official MAE (PRETRAIN.md, main_pretrain.py, lr_sched.py).

1-D parameters and biases are not decayed; [CLS], [MASK] and segment embeddings are (timm's add_weight_decay, which
official MAE uses). The leaf sets the values that depend on batch, base learning rate and epochs.
"""

warmup_epochs = 40
base_lr_images = 256  # images that a base learning rate is for
optim_wrapper = dict(
    type="AmpOptimWrapper",
    loss_scale="dynamic",
    optimizer=dict(type="AdamW", betas=(0.9, 0.95), weight_decay=0.05),
    constructor="mixedae.LearningRateDecayOptimWrapperConstructor",
    paramwise_cfg=dict(no_decay=()),  # no exception beside 1-D parameters and biases
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-4, by_epoch=True, begin=0, end=warmup_epochs, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=warmup_epochs, convert_to_iter_based=True),
]
