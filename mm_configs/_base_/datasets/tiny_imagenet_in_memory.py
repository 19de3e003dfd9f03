"""tiny_imagenet_pretrain.py's pictures, decoded once and kept on the device that trains, where a batch is augmented.

The same crops and flips, drawn by another generator; pixels differ from Pillow's by rounding.
"""

_base_ = "./tiny_imagenet_pretrain.py"

image_size = 64
train_dataloader = dict(
    num_workers=0,
    dataset=dict(
        _delete_=True,
        type="mixedae.PicturesInMemory",
        data_root="{{$MIXEDAE_DATA_IMAGENET:data/imagenet}}",
        data_prefix="train",
    ),
)
crop_preprocessor = dict(  # for the leaf's model.data_preprocessor
    type="mixedae.CropPreprocessor", size=image_size, crop_ratio_range=(0.2, 1.0), flip_prob=0.5
)
