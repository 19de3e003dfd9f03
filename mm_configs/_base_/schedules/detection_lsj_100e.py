"""ViTDet's schedule for ViT-B: 184,375 steps of 64 images, which are 100 epochs.

facebookresearch/detectron2 ``projects/ViTDet/configs/COCO/mask_rcnn_vitdet_b_100ep.py``: AdamW, layer decay 0.7,
warm-up of 250 steps from 1/1000, a tenth from step 163,889 and again from 177,546.
"""

batch_size = 64  # all processes together: the batch that lr is for
lr = 1e-4
max_iters = 184_375
interval = 5000

train_cfg = dict(
    type="IterBasedTrainLoop",
    max_iters=max_iters,
    val_interval=interval,
    dynamic_intervals=[(max_iters // interval * interval + 1, max_iters)],  # validate at the end, too
)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
log_processor = dict(by_epoch=False)

param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=max_iters, milestones=[163_889, 177_546], gamma=0.1),
]

optim_wrapper = dict(
    type="AmpOptimWrapper",
    loss_scale="dynamic",
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=0.1),
    constructor="mixedae.LearningRateDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.7, no_decay=("pos_embed",), decay_biases=True),
)
auto_scale_lr = dict(base_batch_size=batch_size, enable=True, accumulate=True)
