"""Tiny ImageNet as folders: {train,val}/<wnid>/*.JPEG in the root, 64 x 64, some files grey; 100 classes.

ImageNet fine-tuning's augmentation at 64 px, without RandAugment and erasing, which do not pay off in short runs. Tests
do not resize: the files have the model's size.
"""

_base_ = "imagenet_finetune.py"

num_classes = 100
image_size = 64
data_preprocessor = dict(num_classes=num_classes)
train_pipeline = [
    _base_.load_image,
    dict(type="RandomResizedCrop", scale=image_size, crop_ratio_range=(0.2, 1.0), **_base_.bicubic),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]
test_pipeline = [_base_.load_image, dict(type="PackInputs")]

loader = dict(num_workers=0, persistent_workers=False, pin_memory=False)
folders = dict(_delete_=True, type="CustomDataset", data_root=_base_.data_root)
train_dataloader = dict(**loader, dataset=dict(**folders, data_prefix="train", pipeline=train_pipeline))
val_dataloader = dict(**loader, dataset=dict(**folders, data_prefix="val", pipeline=test_pipeline))
test_dataloader = val_dataloader
