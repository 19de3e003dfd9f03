"""PASCAL VOC 2007 classification: 20 classes, 11-point mAP, difficult objects as negatives.

tools/train.py mm_configs/classification/small/voc2007.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 86.0, MixedAE 86.4.
"""

_base_ = "./base.py"

num_classes = 20
data_root = "{{$MIXEDAE_DATA_VOC2007:data/VOC2007}}"
train_set = dict(type="VOC", data_root=data_root, split="trainval")
test_set = dict(type="VOC", data_root=data_root, split="test")

train_dataloader = dict(dataset=train_set)
val_dataloader = dict(dataset=test_set)
test_dataloader = val_dataloader
val_evaluator = dict(type="mixedae.VOC07Metric")
test_evaluator = val_evaluator
# One sigmoid a class, the mean over classes and pictures as PyTorch takes it; mmpretrain's loss sums over the classes.
multi_label_head = dict(
    _delete_=True,
    type="MultiLabelLinearClsHead",
    num_classes=num_classes,
    in_channels=_base_.model.head.in_channels,
    loss=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1 / num_classes),
    init_cfg=_base_.model.head.init_cfg,
)
model = dict(head=multi_label_head)
data_preprocessor = dict(num_classes=num_classes, to_onehot=True)
selection = dict(  # its own validation split
    train_dataloader=dict(dataset=dict(split="train")),
    val_dataloader=dict(dataset=dict(split="val")),
)
