"""ADE20K's layout, read and measured as mmseg does: images|annotations/{training,validation}, mask value 0 ignored.

A file that inherits it adds the root, the kind of dataset, pipelines and loaders.
"""

# Pillow refuses a truncated JPEG, which OpenCV decodes to grey.
load_image = dict(type="mixedae.LoadPicture", upright=False)
load_annotations = dict(type="LoadAnnotations", reduce_zero_label=True)

train_dataloader = dict(  # batch_size: the leaf's, from the schedule
    dataset=dict(data_prefix=dict(img_path="images/training", seg_map_path="annotations/training")),
)
val_dataloader = dict(
    batch_size=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation")),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator
