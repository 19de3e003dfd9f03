"""SUN397, partition 1: 397 classes, top-1.

tools/train.py mm_configs/classification/small/sun397.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 65.4, MixedAE 66.2.
"""

_base_ = "./base.py"

num_classes = 397
pictures = dict(
    dataset=dict(type="SUN397", data_root="{{$MIXEDAE_DATA_SUN397:data/sun397}}"),
    splits=dict(trainval="train", test="test"),
    expected=dict(classes=num_classes, trainval=19850, test=19850, each=dict(trainval=50, test=50)),
)
train_dataloader = dict(dataset=pictures)
val_dataloader = dict(dataset=pictures)
test_dataloader = val_dataloader
model = dict(head=dict(num_classes=num_classes))
data_preprocessor = dict(num_classes=num_classes)
