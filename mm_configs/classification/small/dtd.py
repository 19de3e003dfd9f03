"""Describable Textures, partition 1: 47 classes, top-1.

tools/train.py mm_configs/classification/small/dtd.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 75.3, MixedAE 78.7.
"""

_base_ = "./base.py"

num_classes = 47
data_root = "{{$MIXEDAE_DATA_DTD:data/dtd}}"
train_set = dict(type="DTD", data_root=data_root, split="trainval")
test_set = dict(type="DTD", data_root=data_root, split="test")

train_dataloader = dict(dataset=train_set)
val_dataloader = dict(dataset=test_set)
test_dataloader = val_dataloader
val_evaluator = dict(type="Accuracy")
test_evaluator = val_evaluator
model = dict(head=dict(num_classes=num_classes))
data_preprocessor = dict(num_classes=num_classes)
selection = dict(  # its own validation split
    train_dataloader=dict(dataset=dict(split="train")),
    val_dataloader=dict(dataset=dict(split="val")),
)
