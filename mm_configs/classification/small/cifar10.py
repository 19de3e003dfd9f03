"""CIFAR-10: 10 classes, top-1.

tools/train.py mm_configs/classification/small/cifar10.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 97.0, MixedAE 97.9.

Pictures of 32 x 32 are upsampled to 224. The files hold RGB, so channels are not swapped again.
"""

_base_ = "./base.py"

num_classes = 10
pictures = dict(
    dataset=dict(type="CIFAR10", data_root="{{$MIXEDAE_DATA_CIFAR10:data/cifar10}}", download=False),
    splits=dict(trainval="train", test="test"),
    expected=dict(classes=num_classes, trainval=50000, test=10000, each=dict(trainval=5000, test=1000)),
)
train_dataloader = dict(dataset=dict(**pictures, pipeline=_base_.augment))
val_dataloader = dict(dataset=dict(**pictures, pipeline=_base_.resize))
test_dataloader = val_dataloader
model = dict(head=dict(num_classes=num_classes))
data_preprocessor = dict(num_classes=num_classes, to_rgb=False)
linear = dict(train_dataloader=dict(dataset=dict(pipeline=_base_.resize)))
knn = linear
