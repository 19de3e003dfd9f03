"""FGVC Aircraft (variants): 100 classes, mean per-class accuracy.

tools/train.py mm_configs/classification/small/aircraft.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 78.2, MixedAE 82.1.
"""

_base_ = "./mean_per_class.py"

num_classes = 100
pictures = dict(
    dataset=dict(type="FGVCAircraft", data_root="{{$MIXEDAE_DATA_AIRCRAFT:data/fgvc-aircraft-2013b}}"),
    expected=dict(classes=num_classes, train=3334, val=3333, trainval=6667, test=3333),
)
train_dataloader = dict(dataset=pictures)
val_dataloader = dict(dataset=pictures)
test_dataloader = val_dataloader
model = dict(head=dict(num_classes=num_classes))
data_preprocessor = dict(num_classes=num_classes)
