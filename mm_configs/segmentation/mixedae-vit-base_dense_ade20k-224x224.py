"""ADE20K from frozen patches of ViT-B/16: logistic regression by L-BFGS, or k-NN (--overlay knn). CAPI's protocol.

python tools/train.py mm_configs/segmentation/mixedae-vit-base_dense_ade20k-224x224.py [--overlay knn]
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

Pictures are brought to 224 x 224 (bicubic, not keeping their aspect ratio), and so are the masks that are scored
(overlay ``own_size``: masks keep their own size). Annotation 0 is "other" and ignored. CAPI fits to all four million
patches; here 400,000 are drawn, which needs 10 GB. Source: arXiv 2502.08769, facebookresearch/capi
eval_segmentation.py (98b4fa1).
"""

_base_ = [
    "../_base_/models/vit-base_dense-probe.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/schedules/dense_probe.py",
    "../_base_/segmentation_runtime.py",
]

size = (224, 224)
square = dict(type="Resize", scale=size, keep_ratio=False, backend="pillow", interpolation="bicubic")
squared = [_base_.load_image, _base_.load_annotations, square, dict(type="PackSegInputs")]
own = [_base_.load_image, square, _base_.load_annotations, dict(type="PackSegInputs")]
train_cfg = dict(patches=400_000)
in_order = dict(type="DefaultSampler", shuffle=False)
train_dataloader = dict(batch_size=64, sampler=in_order, dataset=dict(pipeline=squared))
val_dataloader = dict(batch_size=64, dataset=dict(pipeline=squared))
test_dataloader = val_dataloader
default_hooks = dict(checkpoint=None)
own_size = dict(val_dataloader=dict(batch_size=1, dataset=dict(pipeline=own)))
