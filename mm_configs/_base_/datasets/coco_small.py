"""The first 8 annotated training pictures of a COCO 2017 folder, for training and for testing.

This checks the pipeline. The long side is 192 px, for a small model. Expects train2017/ and
annotations/instances_train2017.json in the root.
"""

data_root = "{{$MIXEDAE_DATA_COCO:data/coco}}"
num_pictures = 8
repeats = 5  # passes over the pictures per epoch
img_size = 192

load_image = dict(type="mixedae.LoadPicture", upright=False)
load_annotations = dict(type="LoadAnnotations", with_bbox=True, with_mask=True)
resize = dict(type="Resize", scale=(img_size, img_size), keep_ratio=True)

pictures = dict(
    type="mixedae.CocoDataset",
    data_root=data_root,
    ann_file="annotations/instances_train2017.json",
    data_prefix=dict(img="train2017/"),
    filter_cfg=dict(filter_empty_gt=True, min_size=32),
    indices=num_pictures,  # of the pictures that the filter keeps
)
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(  # batch_size: the leaf's, from the schedule
    **loader,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="RepeatDataset",
        times=repeats,
        dataset=dict(**pictures, pipeline=[load_image, load_annotations, resize, dict(type="PackDetInputs")]),
    ),
)
val_dataloader = dict(
    **loader,
    batch_size=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(  # no test_mode: it would skip the filter, and with it the same pictures
        **pictures,
        pipeline=[
            load_image,
            resize,
            dict(
                type="PackDetInputs",
                meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "instances"),
            ),
        ],
    ),
)
test_dataloader = val_dataloader
# Without an annotation file the truth is these pictures' `instances`; with one, all its pictures would count.
val_evaluator = dict(type="mixedae.CocoMetric", metric=["bbox", "segm"])
test_evaluator = val_evaluator
