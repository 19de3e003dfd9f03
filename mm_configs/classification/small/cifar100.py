"""CIFAR-100: 100 classes, top-1.

tools/train.py mm_configs/classification/small/cifar100.py --cfg-options model.backbone.init_cfg.checkpoint=PATH

Published (arXiv 2303.17152, Table 2, ViT-B/16, 1600 epochs): MAE 82.5, MixedAE 85.9.

Pictures of 32 x 32 are upsampled to 224. The files hold RGB, so channels are not swapped again.
"""

_base_ = "./base.py"

num_classes = 100
data_root = "{{$MIXEDAE_DATA_CIFAR100:data/cifar100}}"
train_set = dict(type="CIFAR100", data_root=data_root, split="train", download=False)
test_set = dict(type="CIFAR100", data_root=data_root, split="test", download=False)

train_dataloader = dict(dataset=dict(**train_set, pipeline=_base_.augment))
val_dataloader = dict(dataset=dict(**test_set, pipeline=_base_.resize))
test_dataloader = val_dataloader
val_evaluator = dict(type="Accuracy")
test_evaluator = val_evaluator
model = dict(head=dict(num_classes=num_classes))
data_preprocessor = dict(num_classes=num_classes, to_rgb=False)
held_out = dict(type="mixedae.HeldOutSplit", dataset=train_set)  # 20 % of each class, seed 0
selection = dict(
    train_dataloader=dict(dataset=dict(_delete_=True, **held_out, part="train", pipeline=_base_.augment)),
    val_dataloader=dict(dataset=dict(_delete_=True, **held_out, part="val", pipeline=_base_.resize)),
)
