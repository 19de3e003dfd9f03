"""A quarter of Tiny ImageNet (ImageNet folders, 64 x 64) treated as a small set: the protocol with the mini ViT.

MIXEDAE_DATA_IMAGENET=DIR python tools/train.py mm_configs/mini/classification/small_tiny-imagenet.py
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

100 classes. It takes every fourth picture of train and holds out 20 % of every class; every second picture of val is
the test set. Own choices: 200 steps, so that a point of the grid costs seconds, and AdamW's learning rate, as in mini
fine-tuning.
"""

_base_ = ["../../classification/small/base.py", "../../_base_/models/vit-mini-p8.py"]

num_classes = 100
image_size = 64
train_pipeline = [_base_.load_image, {**_base_.augment[0], "scale": image_size}, *_base_.augment[1:]]
test_pipeline = [_base_.load_image, dict(type="PackInputs")]  # the files have the model's size

pictures = dict(
    dataset=dict(type="CustomDataset", data_root="{{$MIXEDAE_DATA_IMAGENET:data/imagenet}}"),
    splits=dict(
        trainval=dict(data_prefix="train", indices=[*range(0, 22000, 4)]),
        test=dict(data_prefix="val", indices=[*range(0, 3000, 2)]),
    ),
    expected=dict(classes=num_classes, trainval=5500, test=1500, each=dict(trainval=55, test=15)),
)
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(**loader, dataset=dict(**pictures, pipeline=train_pipeline))
val_dataloader = dict(**loader, dataset=dict(**pictures, pipeline=test_pipeline))
test_dataloader = val_dataloader
data_preprocessor = dict(num_classes=num_classes)
model = dict(
    backbone=dict(arch=dict(_delete_=True, **_base_.vit_mini), img_size=image_size, patch_size=_base_.vit_mini_patch),
    head=dict(num_classes=num_classes, in_channels=_base_.vit_mini.embed_dims),
)

max_iters = 200
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [{**_base_.param_scheduler[0], "end": max_iters}]
default_hooks = dict(checkpoint=dict(interval=max_iters))

adamw_lr = 3e-3
adamw = dict(
    optim_wrapper=dict(optimizer=dict(lr=adamw_lr)),
    param_scheduler=[
        {**_base_.adamw.param_scheduler[0], "end": max_iters // 20},
        {**_base_.adamw.param_scheduler[1], "begin": max_iters // 20, "end": max_iters},
    ],
)
linear = dict(train_dataloader=dict(dataset=dict(pipeline=test_pipeline)))
knn = linear
