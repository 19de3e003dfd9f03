"""Street photographs of people from frozen patches of the mini ViT: logistic regression, or k-NN (--overlay knn).

MIXEDAE_DATA_CLOTHES=DIR python tools/train.py mm_configs/mini/segmentation/dense_clothes-128x128.py [--overlay knn]
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

CAPI's protocol at another size: pictures are brought to 128 x 128, not keeping their aspect ratio, and so are the masks
that are scored (overlay ``own_size``: masks keep their own size, short side 256). Background is a class; mask value 0
is ignored. 10,000 of some 190,000 patches are drawn. Other layers: model.backbone.out_indices=(2,) or (2,3).
"""

_base_ = "mixedae-vit-mini_upernet_1xb4-6e_clothes-128x128.py"

size = (128, 128)
square = dict(type="Resize", scale=size, keep_ratio=False, backend="pillow", interpolation="bicubic")
load_image, load_annotations, pack = _base_.test_pipeline[0], _base_.test_pipeline[-2], _base_.test_pipeline[-1]
squared = [load_image, load_annotations, square, pack]
own = [load_image, square, load_annotations, pack]

model = dict(
    _delete_=True,
    type="mixedae.FrozenEncoder",
    data_preprocessor={**_base_.model.data_preprocessor, "size": None},
    backbone=dict(
        type="mixedae.MixedAEViT",
        arch=_base_.vit_mini,
        img_size=size,
        patch_size=_base_.vit_mini_patch,
        out_type="featmap",
        final_norm=True,
        trainable_blocks=0,
        init_cfg=dict(type="mixedae.PretrainedViT", checkpoint=None),
    ),
)
train_cfg = dict(_delete_=True, type="mixedae.DenseLogisticLoop", patches=10_000)
in_order = dict(type="DefaultSampler", shuffle=False)
batch_size = 32
train_dataloader = dict(batch_size=batch_size, drop_last=False, sampler=in_order, dataset=dict(pipeline=squared))
val_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline=squared))
test_dataloader = val_dataloader
optim_wrapper = dict(_delete_=True, type="OptimWrapper", optimizer=dict(type="SGD", lr=0.0))  # the Runner requires one
param_scheduler = None
auto_scale_lr = dict(base_batch_size=batch_size)
default_hooks = dict(checkpoint=None)
knn = dict(train_cfg=dict(type="mixedae.DenseKNNLoop"))
own_size = dict(val_dataloader=dict(batch_size=1, dataset=dict(pipeline=own)))
