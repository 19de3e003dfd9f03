"""Attentive probe of ViT-B/16 on ImageNet-1K, 90 epochs: efficient probing with 32 queries, as published.

tools/dist_train.sh mm_configs/classification/mixedae-vit-base-p16_8xb512-amp-attentive-coslr-90e_in1k.py 8 \
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

arXiv 2506.10178, billpsomas/efficient-probing main_linprobe.py: LARS, base learning rate 0.1, batches of 4096, 10
epochs of warm-up, features without the final norm, the best epoch is reported. For encoders that learn on [CLS] (DINO,
iBOT, MoCo v3) theirs reads it beside the patches: model.head.with_cls=True. Expected top-1 of official MAE: 75.46.

Overlay ``capi``: CAPI's probe, one query with heads of 64, behind the final norm; thirty learning rates and decays side
by side, AdamW, 10 epochs of nine tenths of the training pictures (their 12,500 iterations of 1024), the best on the
last tenth (facebookresearch/capi eval_classification.py).
"""

_base_ = "mixedae-vit-base-p16_8xb2048-amp-linear-coslr-90e_in1k.py"

batch_size = 4096
model = dict(
    backbone=dict(out_type="raw", final_norm=False),
    neck=None,
    head=dict(
        _delete_=True,
        type="mixedae.AttentiveProbeHead",
        num_classes=1000,
        in_channels=768,
        queries=32,
    ),
)
train_dataloader = dict(batch_size=batch_size // _base_.num_gpus)
optim_wrapper = dict(optimizer=dict(lr=_base_.base_lr * batch_size / 256))
auto_scale_lr = dict(base_batch_size=batch_size)

capi_epochs = 10
capi = dict(
    model=dict(
        backbone=dict(final_norm=True),
        head=dict(
            form="capi",
            learning_rates=(1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2),
            weight_decays=(5e-4, 1e-3, 5e-2),
        ),
    ),
    train_cfg=dict(max_epochs=capi_epochs, val_interval=capi_epochs),
    train_dataloader=dict(
        batch_size=1024 // _base_.num_gpus,
        dataset=dict(
            _delete_=True,
            type="mixedae.SmallSet",
            part="train",
            fraction=0.1,
            dataset=dict(type="ImageNet", data_root=_base_.train_dataloader.dataset.data_root),
            splits=dict(trainval="train", test="val"),
            pipeline=_base_.train_pipeline,
        ),
    ),
    optim_wrapper=dict(
        optimizer=dict(_delete_=True, type="AdamW", lr=1024 / 256, betas=(0.9, 0.95), weight_decay=0.0),
        constructor="mixedae.ProbeGridConstructor",
    ),
    auto_scale_lr=dict(base_batch_size=1024),
    param_scheduler=[
        dict(type="LinearLR", start_factor=1e-4, begin=0, end=1, by_epoch=True, convert_to_iter_based=True),
        dict(
            type="CosineAnnealingLR", eta_min=0.0, begin=1, end=capi_epochs, by_epoch=True, convert_to_iter_based=True
        ),
    ],
    custom_hooks=[
        *_base_.custom_hooks,
        dict(
            type="mixedae.ChooseProbeHook",
            dataloader=dict(
                batch_size=128,
                num_workers=8,
                dataset=dict(
                    type="mixedae.SmallSet",
                    part="val",
                    fraction=0.1,
                    dataset=dict(type="ImageNet", data_root=_base_.train_dataloader.dataset.data_root),
                    splits=dict(trainval="train", test="val"),
                    pipeline=_base_.test_pipeline,
                ),
            ),
        ),
    ],
)
