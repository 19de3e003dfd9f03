"""Attentive probe of the frozen mini ViT on Imagenette at 64 x 64: efficient probing's form, a grid in one pass.

MIXEDAE_DATA_IMAGENETTE=DIR python tools/train.py mm_configs/mini/classification/attentive_imagenette.py
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

Four queries on the patches behind the final norm. Fifteen learning rates and decays train side by side on four fifths
of the training pictures, with AdamW as CAPI's probes do; the best on the rest is tested once. Own choices: 8 epochs,
batches of 128, the grid.
"""

_base_ = "small_imagenette.py"

batch_size, max_epochs = 128, 8
lr = batch_size / 256  # the grid is for 256 pictures
model = dict(
    backbone=dict(out_type="raw", final_norm=True, trainable_blocks=0),
    head=dict(
        _delete_=True,
        type="mixedae.AttentiveProbeHead",
        num_classes=_base_.num_classes,
        in_channels=_base_.vit_mini.embed_dims,
        learning_rates=(1e-2, 3e-2, 1e-1, 3e-1, 1.0),
        weight_decays=(5e-4, 1e-3, 5e-2),
        queries=4,
    ),
)
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(part="train"),
)
train_cfg = dict(_delete_=True, type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.95), weight_decay=0.0),
    constructor="mixedae.ProbeGridConstructor",
)
auto_scale_lr = dict(base_batch_size=batch_size, enable=True)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-4, begin=0, end=1, by_epoch=True, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", eta_min=0.0, begin=1, end=max_epochs, by_epoch=True, convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
log_processor = dict(by_epoch=True)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type="mixedae.ChooseProbeHook",
        dataloader=dict(
            batch_size=128,
            num_workers=0,
            dataset=dict(
                type="mixedae.SmallSet",
                part="val",
                **_base_.pictures,
                pipeline=_base_.test_pipeline,
            ),
        ),
    ),
]
