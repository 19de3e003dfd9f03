"""Cascade Mask R-CNN on objects of your own, in COCO's format: DIR/{train,val}/ and DIR/annotations/{train,val}.json.

python tools/train.py mm_configs/own/detection.py --data DIR --cfg-options model.backbone.init_cfg.checkpoint=FILE

Classes are the file's categories. COCO's own names (train2017, instances_train2017.json) are known too, and
_annotations.coco.json beside the pictures. The rules are those of the COCO recipe; sizes, batch, learning rate and
epochs are own defaults. To change one of the values below, copy this file; for the mini ViT write vit-mini in the first
line of _base_ and a short side of 128.
"""

_base_ = [
    "../_base_/models/cascade-mask-rcnn_vit-base.py",
    "../_base_/schedules/detection_mini.py",
    "../_base_/detection_runtime.py",
]

from mixedae.datasets.own_sets import detection

data_root = "{{$MIXEDAE_DATA_OWN_DETECTION:data/own_detection}}"
short_side = 640
batch_size, lr = 4, 5e-5  # images of an optimizer step, and the learning rate for them
epochs = 24

own = detection(data_root)
classes = own["classes"]
num_classes = len(classes)
scale = (short_side * 5 // 3, short_side)  # the long side is at most five thirds of the short one
patch = _base_.model.backbone.patch_size
load_image = dict(type="mixedae.LoadPicture", upright=False)
load_annotations = dict(type="LoadAnnotations", with_bbox=True, with_mask=True)
train_pipeline = [
    load_image,
    load_annotations,
    dict(type="RandomResize", scale=scale, ratio_range=(0.6, 1.0), keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    load_image,
    dict(type="Resize", scale=scale, keep_ratio=True),
    load_annotations,
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]

model = dict(
    # the grid on which positions are kept; pictures may have any size
    backbone=dict(img_size=tuple(-(-side // patch) * patch for side in reversed(scale))),
    roi_head=dict(
        bbox_head=[dict(head, num_classes=num_classes) for head in _base_.model.roi_head.bbox_head],
        mask_head=dict(num_classes=num_classes),
    ),
)
pictures = dict(type="mixedae.CocoDataset", data_root=data_root, metainfo=dict(classes=classes))
loader = dict(num_workers=2, persistent_workers=True)
train_dataloader = dict(
    **loader,
    batch_size=batch_size,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**pictures, **own["train"], filter_cfg=dict(filter_empty_gt=True), pipeline=train_pipeline),
)
val_dataloader = dict(
    **loader,
    batch_size=1,  # padding to the largest picture of a batch would change what global attention sees
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**pictures, **own["val"], test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type="mixedae.CocoMetric", ann_file=f"{data_root}/{own['val']['ann_file']}", metric=["bbox", "segm"]
)
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=epochs)
optim_wrapper = dict(optimizer=dict(lr=lr))
auto_scale_lr = dict(base_batch_size=batch_size, accumulate=True)
