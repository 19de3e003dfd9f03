"""Caltech-101 with its background class: 102 classes, mean per-class accuracy.

tools/train.py mm_configs/classification/small/caltech101.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 91.2, MixedAE 91.5.
"""

_base_ = "./mean_per_class.py"

num_classes = 102
pictures = dict(
    dataset=dict(type="Caltech101", data_root="{{$MIXEDAE_DATA_CALTECH101:data/caltech-101}}"),
    splits=dict(trainval="train", test="test"),
    expected=dict(classes=num_classes, trainval=2416, test=6728),
)
train_dataloader = dict(dataset=pictures)
val_dataloader = dict(dataset=pictures)
test_dataloader = val_dataloader
model = dict(head=dict(num_classes=num_classes))
data_preprocessor = dict(num_classes=num_classes)
