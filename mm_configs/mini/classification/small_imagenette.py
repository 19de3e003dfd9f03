"""Imagenette (ImageNet folders, short side 96) as a small set at 64 x 64, with the mini ViT: the linear probe and k-NN.

MIXEDAE_DATA_IMAGENETTE=DIR python tools/train.py mm_configs/mini/classification/small_imagenette.py --overlay knn
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

Ten classes; 20 % of every class are held out to choose on; val is the test set.
"""

_base_ = "small_tiny-imagenet.py"

num_classes = 10
crop = 64
resize = [
    dict(type="ResizeEdge", scale=round(crop / 0.875), edge="short", backend="pillow", interpolation="bicubic"),
    dict(type="CenterCrop", crop_size=crop),
]
test_pipeline = [_base_.test_pipeline[0], *resize, _base_.test_pipeline[-1]]

pictures = dict(
    dataset=dict(type="CustomDataset", data_root="{{$MIXEDAE_DATA_IMAGENETTE:data/imagenette}}"),
    splits=dict(_delete_=True, trainval=dict(data_prefix="train"), test=dict(data_prefix="val")),
    expected=dict(_delete_=True, classes=num_classes, trainval=9469, test=3925),
)
train_dataloader = dict(dataset=pictures)
val_dataloader = dict(dataset=dict(**pictures, pipeline=test_pipeline))
test_dataloader = val_dataloader
data_preprocessor = dict(num_classes=num_classes)
model = dict(head=dict(num_classes=num_classes))
linear = dict(train_dataloader=dict(dataset=dict(pipeline=test_pipeline)))
knn = linear
layers = dict(  # every layer in one pass, by k-NN and ridge regression
    _base_.linear,
    train_cfg=dict(_delete_=True, type="mixedae.LayerProbeLoop"),
    model=dict(backbone=dict(out_type="raw", final_norm=True, out_indices=_base_.vit_mini_taps)),
)
layers["train_dataloader"] = dict(_base_.linear.train_dataloader, dataset=dict(pipeline=test_pipeline))
