"""tiny_imagenet_pretrain.py's pictures, decoded once, kept on the device that trains and augmented there.

A leaf merges both variables over a leaf that reads files. Crops and flips have the same distribution, from another
generator; pixels differ from Pillow's by rounding.
"""

loader_in_memory = dict(  # for train_dataloader
    num_workers=0,
    dataset=dict(
        _delete_=True,
        type="mixedae.PicturesInMemory",
        data_root="{{$MIXEDAE_DATA_IMAGENET:data/imagenet}}",
        data_prefix="train",
    ),
)
crop_preprocessor = dict(  # for model.data_preprocessor
    type="mixedae.CropPreprocessor", size=64, crop_ratio_range=(0.2, 1.0), flip_prob=0.5
)
