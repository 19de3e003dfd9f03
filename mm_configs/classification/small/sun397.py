"""SUN397, partition 1: 397 classes, top-1.

tools/train.py mm_configs/classification/small/sun397.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 65.4, MixedAE 66.2.
"""

_base_ = "./base.py"

num_classes = 397
data_root = "{{$MIXEDAE_DATA_SUN397:data/sun397}}"
train_set = dict(type="SUN397", data_root=data_root, split="train")
test_set = dict(type="SUN397", data_root=data_root, split="test")

train_dataloader = dict(dataset=train_set)
val_dataloader = dict(dataset=test_set)
test_dataloader = val_dataloader
val_evaluator = dict(type="Accuracy")
test_evaluator = val_evaluator
model = dict(head=dict(num_classes=num_classes))
data_preprocessor = dict(num_classes=num_classes)
held_out = dict(type="mixedae.HeldOutSplit", dataset=train_set)  # 20 % of each class, seed 0
selection = dict(
    train_dataloader=dict(dataset=dict(_delete_=True, **held_out, part="train", pipeline=_base_.train_pipeline)),
    val_dataloader=dict(dataset=dict(_delete_=True, **held_out, part="val", pipeline=_base_.test_pipeline)),
)
