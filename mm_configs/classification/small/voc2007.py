"""PASCAL VOC 2007 classification: 20 classes, 11-point mAP, difficult objects as negatives.

tools/train.py mm_configs/classification/small/voc2007.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 86.0, MixedAE 86.4.
"""

_base_ = "./base.py"

num_classes = 20
pictures = dict(
    dataset=dict(type="VOC", data_root="{{$MIXEDAE_DATA_VOC2007:data/VOC2007}}"),
    expected=dict(classes=num_classes, train=2501, val=2510, trainval=5011, test=4952),
)
train_dataloader = dict(dataset=pictures)
val_dataloader = dict(dataset=pictures)
test_dataloader = val_dataloader
val_evaluator = dict(type="mixedae.VOC07Metric")
test_evaluator = val_evaluator
# One sigmoid per class, and PyTorch's mean over classes and pictures; mmpretrain's loss sums over the classes.
model = dict(
    head=dict(
        type="MultiLabelLinearClsHead",
        num_classes=num_classes,
        loss=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1 / num_classes),
    )
)
data_preprocessor = dict(num_classes=num_classes, to_onehot=True)
