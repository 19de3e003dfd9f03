"""ImageNet-1K for fine-tuning: train/<wnid>/*.JPEG and val/<wnid>/*.JPEG in the root.

Augmentation of MAE FINETUNE.md (rand-m9-mstd0.5-inc1, random erasing 0.25 with noise), in mmpretrain's terms; mixup and
cutmix belong to the model. Evaluation: short side 256, centre crop 224.
"""

data_root = "{{$MIXEDAE_DATA_IMAGENET:data/imagenet}}"
crop_size = 224

data_preprocessor = dict(
    type="ClsDataPreprocessor",
    num_classes=1000,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
bgr_mean = data_preprocessor["mean"][::-1]
bgr_std = data_preprocessor["std"][::-1]
bicubic = dict(backend="pillow", interpolation="bicubic")
# Pillow refuses a truncated JPEG; OpenCV fills it up with grey. Both turn greyscale files into RGB.
load_image = dict(type="mixedae.LoadPicture")

train_pipeline = [
    load_image,
    dict(type="RandomResizedCrop", scale=crop_size, **bicubic),  # area 8 to 100 %
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(
        type="RandAugment",
        policies="timm_increasing",
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[round(x) for x in bgr_mean], interpolation="bicubic"),
    ),
    dict(
        type="RandomErasing",
        erase_prob=0.25,
        mode="rand",  # timm's 'pixel': noise with the data's mean and deviation
        min_area_ratio=0.02,
        max_area_ratio=1 / 3,
        fill_color=bgr_mean,
        fill_std=bgr_std,
    ),
    dict(type="PackInputs"),
]
test_pipeline = [
    load_image,
    dict(type="ResizeEdge", scale=256, edge="short", **bicubic),
    dict(type="CenterCrop", crop_size=crop_size),
    dict(type="PackInputs"),
]

loader = dict(num_workers=8, persistent_workers=True, pin_memory=True, collate_fn=dict(type="default_collate"))
train_dataloader = dict(  # batch_size: the leaf's, from the schedule
    **loader,
    sampler=dict(type="DefaultSampler", shuffle=True),
    drop_last=True,  # MAE main_finetune.py
    dataset=dict(type="ImageNet", data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    **loader,
    batch_size=128,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="ImageNet", data_root=data_root, split="val", pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="Accuracy", topk=(1, 5))
test_evaluator = val_evaluator
