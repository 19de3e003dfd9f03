"""CamVid of the SegNet tutorial, in ADE20K's layout: images|annotations/{training,validation,testing}.

Mask value 0 is void and ignored, 1 to 11 are the classes. Pictures (480 x 360) are brought to 256 x 192 for a small
model; the metric is computed at their own size, on the validation part (at the end of training) or the test part
(tools/test.py).
"""

_base_ = "segmentation.py"

data_root = "{{$MIXEDAE_DATA_CAMVID:data/camvid}}"
crop_size = (128, 128)
scale = (256, 192)  # width, height: 32 x 24 patches of 8
classes = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign_symbol",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)

train_pipeline = [
    _base_.load_image,
    _base_.load_annotations,
    dict(type="RandomResize", scale=scale, ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    _base_.load_image,
    dict(type="Resize", scale=scale, keep_ratio=True),
    _base_.load_annotations,
    dict(type="PackSegInputs"),
]

frames = dict(type="BaseSegDataset", data_root=data_root, metainfo=dict(classes=classes), reduce_zero_label=True)
loader = dict(num_workers=0, persistent_workers=False)
test_loader = dict(**loader, batch_size=1, sampler=dict(type="DefaultSampler", shuffle=False))
train_dataloader = dict(
    **loader,
    sampler=dict(type="DefaultSampler", shuffle=True),
    drop_last=True,
    dataset=dict(**frames, pipeline=train_pipeline),
)
val_dataloader = dict(**test_loader, dataset=dict(**frames, pipeline=test_pipeline))
test_dataloader = dict(
    **test_loader,
    dataset=dict(
        **frames,
        data_prefix=dict(img_path="images/testing", seg_map_path="annotations/testing"),
        pipeline=test_pipeline,
    ),
)
