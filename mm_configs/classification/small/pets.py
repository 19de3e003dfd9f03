"""Oxford-IIIT Pets: 37 classes, mean per-class accuracy.

tools/train.py mm_configs/classification/small/pets.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 92.6, MixedAE 93.6.
"""

_base_ = "./base.py"

num_classes = 37
data_root = "{{$MIXEDAE_DATA_PETS:data/oxford-iiit-pet}}"
train_set = dict(type="OxfordIIITPet", data_root=data_root, split="trainval")
test_set = dict(type="OxfordIIITPet", data_root=data_root, split="test")

train_dataloader = dict(dataset=train_set)
val_dataloader = dict(dataset=test_set)
test_dataloader = val_dataloader
val_evaluator = dict(type="SingleLabelMetric", items=("recall",), average="macro")  # mean per-class accuracy
test_evaluator = val_evaluator
model = dict(head=dict(num_classes=num_classes))
data_preprocessor = dict(num_classes=num_classes)
held_out = dict(type="mixedae.HeldOutSplit", dataset=train_set)  # 20 % of each class, seed 0
selection = dict(
    train_dataloader=dict(dataset=dict(_delete_=True, **held_out, part="train", pipeline=_base_.train_pipeline)),
    val_dataloader=dict(dataset=dict(_delete_=True, **held_out, part="val", pipeline=_base_.test_pipeline)),
)
