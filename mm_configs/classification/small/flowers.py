"""Oxford Flowers 102: 102 classes, mean per-class accuracy.

tools/train.py mm_configs/classification/small/flowers.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 96.6, MixedAE 97.1.
"""

_base_ = "./mean_per_class.py"

num_classes = 102
pictures = dict(
    dataset=dict(type="Flowers102", data_root="{{$MIXEDAE_DATA_FLOWERS:data/flowers102}}"),
    expected=dict(classes=num_classes, train=1020, val=1020, trainval=2040, test=6149, each=dict(train=10, val=10)),
)
train_dataloader = dict(dataset=pictures)
val_dataloader = dict(dataset=pictures)
test_dataloader = val_dataloader
model = dict(head=dict(num_classes=num_classes))
data_preprocessor = dict(num_classes=num_classes)
