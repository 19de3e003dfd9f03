"""Describable Textures, partition 1: 47 classes, top-1.

tools/train.py mm_configs/classification/small/dtd.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 75.3, MixedAE 78.7.
"""

_base_ = "./base.py"

num_classes = 47
pictures = dict(
    dataset=dict(type="DTD", data_root="{{$MIXEDAE_DATA_DTD:data/dtd}}"),
    expected=dict(
        classes=num_classes, train=1880, val=1880, trainval=3760, test=1880, each=dict(train=40, val=40, test=40)
    ),
)
train_dataloader = dict(dataset=pictures)
val_dataloader = dict(dataset=pictures)
test_dataloader = val_dataloader
model = dict(head=dict(num_classes=num_classes))
data_preprocessor = dict(num_classes=num_classes)
