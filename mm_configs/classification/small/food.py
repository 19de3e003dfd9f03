"""Food-101: 101 classes, top-1.

tools/train.py mm_configs/classification/small/food.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 84.7, MixedAE 87.4.
"""

_base_ = "./base.py"

num_classes = 101
pictures = dict(
    dataset=dict(type="Food101", data_root="{{$MIXEDAE_DATA_FOOD:data/food-101}}"),
    splits=dict(trainval="train", test="test"),
    expected=dict(classes=num_classes, trainval=75750, test=25250, each=dict(trainval=750, test=250)),
)
train_dataloader = dict(dataset=pictures)
val_dataloader = dict(dataset=pictures)
test_dataloader = val_dataloader
model = dict(head=dict(num_classes=num_classes))
data_preprocessor = dict(num_classes=num_classes)
