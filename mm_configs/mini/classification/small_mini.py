"""The mini benchmark's labelled pictures as a small set, with the mini ViT: the linear probe and k-NN.

python tools/train.py mm_configs/mini/classification/small_mini.py --overlay knn
    --cfg-options model.backbone.init_cfg.checkpoint=PATH

Ten classes, 300 pictures; 20 % of every class are held out to choose on; val is the test set.
"""

_base_ = "small_imagenette.py"

test_pipeline = [_base_.test_pipeline[0], _base_.test_pipeline[-1]]  # 64 x 64 as they are
pictures = dict(
    dataset=dict(data_root="{{$MIXEDAE_DATA_MINI:data/mini}}/imagenet"),
    expected=dict(classes=10, trainval=300, test=500),
)
train_dataloader = dict(dataset=pictures)
val_dataloader = dict(dataset=dict(**pictures, pipeline=test_pipeline))
test_dataloader = val_dataloader
linear = dict(train_dataloader=dict(dataset=dict(pipeline=test_pipeline)))
knn = linear
layers = linear
