"""Oxford-IIIT Pets: 37 classes, mean per-class accuracy.

tools/train.py mm_configs/classification/small/pets.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 92.6, MixedAE 93.6.
"""

_base_ = "./mean_per_class.py"

num_classes = 37
pictures = dict(
    dataset=dict(type="OxfordIIITPet", data_root="{{$MIXEDAE_DATA_PETS:data/oxford-iiit-pet}}"),
    splits=dict(trainval="trainval", test="test"),
    expected=dict(classes=num_classes, trainval=3680, test=3669),
)
train_dataloader = dict(dataset=pictures)
val_dataloader = dict(dataset=pictures)
test_dataloader = val_dataloader
model = dict(head=dict(num_classes=num_classes))
data_preprocessor = dict(num_classes=num_classes)
