"""tiny_imagenet_pretrain.py's pictures, decoded once and kept on the device that trains, where a batch is augmented.

For a leaf that reads files and takes both of these over it. The same crops and flips, drawn by another generator;
pixels differ from Pillow's by rounding.
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
