"""ADE20K scene parsing, 150 classes: images|annotations/{training,validation} in the root.

Pipelines and metric of mmseg's ``ade20k.py``, which are BEiT's. Annotation 0 is "other" and ignored.
"""

_base_ = "segmentation.py"

data_root = "{{$MIXEDAE_DATA_ADE20K:data/ade20k}}"
crop_size = (512, 512)
num_classes = 150
scale = (2048, 512)  # short side 512, long side at most 2048

train_pipeline = [
    _base_.load_image,
    _base_.load_annotations,
    dict(type="RandomResize", scale=scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    _base_.load_image,
    dict(type="Resize", scale=scale, keep_ratio=True),
    _base_.load_annotations,  # after Resize: the truth keeps its size, the prediction is brought to it
    dict(type="PackSegInputs"),
]
# BEiT's multi-scale test (unilm, SETR_Resize): no short side below the crop, so the three smallest ratios coincide.
tta_short_sides = [max(crop_size[0], round(scale[1] * ratio)) for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)]
tta_pipeline = [
    _base_.load_image,
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="ResizeShortestEdge", scale=side, max_size=10**6) for side in tta_short_sides],
            [dict(type="RandomFlip", prob=flip, direction="horizontal") for flip in (0.0, 1.0)],
            [_base_.load_annotations],
            [dict(type="PackSegInputs")],
        ],
    ),
]
tta_model = dict(type="SegTTAModel")

loader = dict(num_workers=4, persistent_workers=True)
train_dataloader = dict(
    **loader,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="ADE20KDataset", data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(**loader, dataset=dict(type="ADE20KDataset", data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
