"""CIFAR-100: 100 classes, top-1.

tools/train.py mm_configs/classification/small/cifar100.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 82.5, MixedAE 85.9.
"""

_base_ = "./cifar10.py"

num_classes = 100
pictures = dict(
    dataset=dict(type="CIFAR100", data_root="{{$MIXEDAE_DATA_CIFAR100:data/cifar100}}"),
    expected=dict(classes=num_classes, each=dict(trainval=500, test=100)),
)
train_dataloader = dict(dataset=pictures)
val_dataloader = dict(dataset=pictures)
test_dataloader = val_dataloader
model = dict(head=dict(num_classes=num_classes))
data_preprocessor = dict(num_classes=num_classes)
