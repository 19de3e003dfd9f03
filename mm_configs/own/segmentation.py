"""UperNet on masks of your own: DIR/images/{train,val}/ and DIR/annotations/{train,val}/ with files of the same names.

python tools/train.py mm_configs/own/segmentation.py --data DIR
    --cfg-options model.backbone.init_cfg.checkpoint=FILE

Classes are the lines `VALUE NAME` of DIR/classes.txt, or without it the values in the masks (0 to K - 1; 255 is
ignored, and so is a 0 that is not listed). The rules are those of the ADE20K recipe; batch, learning rate and epochs
are own defaults. To change one of the values below, copy this file; for the mini ViT write vit-mini in the first line
of _base_ and a crop of (128, 128).
"""

_base_ = [
    "../_base_/models/upernet_vit-base.py",
    "../_base_/schedules/segmentation_mini.py",
    "../_base_/segmentation_runtime.py",
]

from mixedae.datasets.own_sets import segmentation

data_root = "{{$MIXEDAE_DATA_OWN_SEGMENTATION:data/own_segmentation}}"
crop_size = (512, 512)
batch_size, lr = 8, 1e-4  # images of an optimizer step, and the learning rate for them
epochs, warmup_epochs = 50, 2

own = segmentation(data_root)
classes, palette, zero_is_ignored = own["classes"], own["palette"], own["zero_is_ignored"]
num_classes = len(classes)
short_side = min(crop_size)
scale = (4 * short_side, short_side)  # short side, and the long side at most four times as long
load_image = dict(type="mixedae.LoadPicture", upright=False)
load_annotations = dict(type="LoadAnnotations", reduce_zero_label=zero_is_ignored)
train_pipeline = [
    load_image,
    load_annotations,
    dict(type="RandomResize", scale=scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.9),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    load_image,
    dict(type="Resize", scale=scale, keep_ratio=True),
    load_annotations,  # after Resize: the truth keeps its size, the prediction is brought to it
    dict(type="PackSegInputs"),
]

model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(img_size=crop_size),
    decode_head=dict(num_classes=num_classes),
    auxiliary_head=dict(num_classes=num_classes),
    test_cfg=dict(crop_size=crop_size, stride=tuple(side * 2 // 3 for side in crop_size)),
)
pictures = dict(
    type="BaseSegDataset",
    data_root=data_root,
    metainfo=dict(classes=classes, **({"palette": palette} if palette else {})),
    img_suffix=own["img_suffix"],
    seg_map_suffix=own["seg_map_suffix"],
    reduce_zero_label=zero_is_ignored,
)
loader = dict(num_workers=2, persistent_workers=True)
train_dataloader = dict(
    **loader,
    batch_size=batch_size,
    sampler=dict(type="DefaultSampler", shuffle=True),
    drop_last=True,  # batch norm fails on a last batch of one picture
    dataset=dict(**pictures, data_prefix=own["train"], pipeline=train_pipeline),
)
val_dataloader = dict(
    **loader,
    batch_size=1,  # pictures have their own sizes
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**pictures, data_prefix=own["val"], pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=epochs)
optim_wrapper = dict(optimizer=dict(lr=lr))
auto_scale_lr = dict(base_batch_size=batch_size, accumulate=True)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=warmup_epochs)
param_scheduler[1].update(begin=warmup_epochs)
