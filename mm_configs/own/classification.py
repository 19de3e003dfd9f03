"""Fine-tune a ViT on classes of your own: DIR/{train,val}/<class>/<picture>. The classes are the folders' names.

python tools/train.py mm_configs/own/classification.py --data DIR
    --cfg-options model.backbone.init_cfg.checkpoint=FILE

The rules are MAE's fine-tuning (layer decay, warm-up, cosine, pooled patches), without mixup. Batch, learning rate and
epochs are own defaults for some hundred to some ten thousand pictures. To change one of the values below, copy this
file; for the mini ViT write vit-mini in the first line of _base_ and a size of 64.
"""

_base_ = [
    "../_base_/models/vit-base_classifier.py",
    "../_base_/schedules/finetune_mini.py",
    "../_base_/classification_runtime.py",
]

from mixedae.datasets.own_sets import class_folders, part

data_root = "{{$MIXEDAE_DATA_OWN_CLASSIFICATION:data/own_classification}}"
img_size = 224
batch_size, lr = 32, 2.5e-4  # images of an optimizer step, and the learning rate for them
epochs, warmup_epochs = 50, 5

classes = class_folders(data_root)
num_classes = len(classes)
extensions = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif", ".jfif")
bicubic = dict(backend="pillow", interpolation="bicubic")
load_image = dict(type="mixedae.LoadPicture")
train_pipeline = [
    load_image,
    dict(type="RandomResizedCrop", scale=img_size, crop_ratio_range=(0.35, 1.0), **bicubic),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]
test_pipeline = [
    load_image,
    dict(type="ResizeEdge", scale=round(img_size / 0.875), edge="short", **bicubic),
    dict(type="CenterCrop", crop_size=img_size),
    dict(type="PackInputs"),
]

data_preprocessor = dict(
    type="ClsDataPreprocessor",
    num_classes=num_classes,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
model = dict(
    backbone=dict(img_size=img_size),
    head=dict(num_classes=num_classes),
    train_cfg=dict(_delete_=True),
)
pictures = dict(type="CustomDataset", data_root=data_root, metainfo=dict(classes=classes), extensions=extensions)
loader = dict(batch_size=batch_size, num_workers=2, persistent_workers=True)
train_dataloader = dict(
    **loader,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**pictures, data_prefix=part(data_root, "train"), pipeline=train_pipeline),
)
val_dataloader = dict(
    **loader,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**pictures, data_prefix=part(data_root, "val"), pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="Accuracy", topk=(1, 5) if num_classes > 5 else (1,))
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=epochs)
optim_wrapper = dict(optimizer=dict(lr=lr))
auto_scale_lr = dict(base_batch_size=batch_size, accumulate=True)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=warmup_epochs)
param_scheduler[1].update(begin=warmup_epochs)
