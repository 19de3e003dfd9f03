"""AdamW of DINO and iBOT: warm-up, cosine, a weight decay that rises, each parameter's gradient clipped by itself.

References:
    facebookresearch/dino main_dino.py (arguments; get_params_groups: no decay of biases and 1-D parameters).
"""

base_lr_images, warmup_epochs, min_lr, clip, weight_decay = 256, 10, 1e-6, 3.0, (0.04, 0.4)
optim_wrapper = dict(
    type="mixedae.EachClipOptimWrapper",
    optimizer=dict(type="AdamW", betas=(0.9, 0.999), weight_decay=weight_decay[0]),
    clip_grad=dict(max_norm=clip),
    constructor="mixedae.LearningRateDecayOptimWrapperConstructor",
    paramwise_cfg=dict(no_decay=()),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=True, begin=0, end=warmup_epochs, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=warmup_epochs, eta_min=min_lr, convert_to_iter_based=True),
]
method_hooks = [
    dict(type="mixedae.MethodStepsHook"),
    dict(type="mixedae.CollapseHook"),
    dict(type="mixedae.WeightDecayHook", start=weight_decay[0], end=weight_decay[1]),
]
