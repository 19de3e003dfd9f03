"""Cascade Mask R-CNN with the mini ViT on photographs of pedestrians (Penn-Fudan), one class, 20 epochs.

MIXEDAE_DATA_PEDESTRIANS=DIR python tools/train.py
    mm_configs/mini/detection/cascade-mask-rcnn_mixedae-vit-mini_fpn_20e_pedestrians.py
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

COCO's layout; short side 128, a half to once in training.
"""

_base_ = "cascade-mask-rcnn_mixedae-vit-mini_fpn_10e_mini.py"

data_root = "{{$MIXEDAE_DATA_PEDESTRIANS:data/pedestrians}}"
classes = ("person",)
short_side = 128
scale = (2 * short_side, short_side)
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type="RandomResize", scale=scale, ratio_range=(0.75, 1.25), keep_ratio=True),
    *_base_.train_pipeline[2:],
]
test_pipeline = [{**step, "scale": scale} if step["type"] == "Resize" else step for step in _base_.test_pipeline]

photographs = dict(data_root=data_root, metainfo=dict(classes=classes))
model = dict(
    roi_head=dict(
        bbox_head=[dict(head, num_classes=len(classes)) for head in _base_.model.roi_head.bbox_head],
        mask_head=dict(num_classes=len(classes)),
    ),
)
train_cfg = dict(max_epochs=20)
train_dataloader = dict(dataset=dict(**photographs, pipeline=train_pipeline))
val_dataloader = dict(batch_size=1, dataset=dict(**photographs, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=f"{data_root}/annotations/instances_val2017.json")
test_evaluator = val_evaluator
