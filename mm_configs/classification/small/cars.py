"""Stanford Cars: 196 classes, top-1.

tools/train.py mm_configs/classification/small/cars.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 88.4, MixedAE 88.8.
"""

_base_ = "./base.py"

num_classes = 196
pictures = dict(
    dataset=dict(type="StanfordCars", data_root="{{$MIXEDAE_DATA_CARS:data/stanford_cars}}"),
    splits=dict(trainval="train", test="test"),
    expected=dict(classes=num_classes, trainval=8144, test=8041),
)
train_dataloader = dict(dataset=pictures)
val_dataloader = dict(dataset=pictures)
test_dataloader = val_dataloader
model = dict(head=dict(num_classes=num_classes))
data_preprocessor = dict(num_classes=num_classes)
