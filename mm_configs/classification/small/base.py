"""What the eleven small sets share (arXiv 2303.17152, Table 2, "following [17, 32, 33]": SSL-transfer's protocol).

A leaf trains on all training pictures and tests once. Overlays are merged over it by name. ``selection`` chooses
hyper-parameters: it trains on a part of the training pictures and validates on the rest. ``adamw``, ``linear`` and
``knn`` are our variants, no part of the published protocol. ``resnet50`` and ``unit_range`` are for another model.
"""

_base_ = [
    "../../_base_/models/vit-base_small-classifier.py",
    "../../_base_/datasets/small_classification.py",
    "../../_base_/schedules/small_sgd_5000i.py",
    "../../_base_/classification_runtime.py",
]

default_hooks = dict(checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=_base_.max_iters))

# What suits a ViT: MAE's fine-tuning (FINETUNE.md: AdamW, weight decay 0.05, layer decay 0.65, base learning rate 5e-4
# for 256 pictures, warm-up in 5 % of the steps, down to 1e-6), with the protocol's steps and batch. There is no drop
# path, as in the protocol, so that only the optimiser differs. The grid (suites/eleven_adamw.yaml) is our own choice.
adamw_lr = 5e-4 * _base_.batch_size / 256
adamw = dict(
    optim_wrapper=dict(
        _delete_=True,
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=adamw_lr, betas=(0.9, 0.999), weight_decay=0.05),
        constructor="mixedae.LearningRateDecayOptimWrapperConstructor",
        paramwise_cfg=dict(layer_decay_rate=0.65),
    ),
    param_scheduler=[
        dict(type="LinearLR", by_epoch=False, start_factor=1e-4, begin=0, end=_base_.max_iters // 20),
        dict(
            type="CosineAnnealingLR",
            by_epoch=False,
            eta_min_ratio=1e-6 / adamw_lr,
            begin=_base_.max_iters // 20,
            end=_base_.max_iters,
        ),
    ],
)

# Frozen features: pictures are read once, in order, without augmentation; features are kept in work_dirs/features.
linear = dict(
    train_cfg=dict(_delete_=True, type="mixedae.LinearProbeLoop"),
    train_dataloader=dict(
        drop_last=False,
        batch_size=_base_.val_dataloader.batch_size,
        sampler=dict(type="DefaultSampler", shuffle=False),
        dataset=dict(pipeline=_base_.test_pipeline),
    ),
    optim_wrapper=dict(_delete_=True, type="OptimWrapper", optimizer=dict(type="SGD", lr=0.0)),  # the Runner wants one
    param_scheduler=None,
    auto_scale_lr=None,
    default_hooks=dict(checkpoint=None),
)
knn = dict(linear, train_cfg=dict(_delete_=True, type="mixedae.KNNProbeLoop"))

# The other half of Table 2: MoCo v2, SimCLR, BYOL, SwAV. SimCLR's pictures are only scaled to 0..1: unit_range.
resnet50 = dict(
    model=dict(
        backbone=dict(
            _delete_=True,
            type="mixedae.ResNet",
            depth=50,
            init_cfg=dict(type="mixedae.PretrainedResNet", checkpoint=None),
        ),
        neck=dict(type="GlobalAveragePooling"),
        head=dict(in_channels=2048),
    ),
)
unit_range = dict(data_preprocessor=dict(mean=[0.0] * 3, std=[255.0] * 3))
