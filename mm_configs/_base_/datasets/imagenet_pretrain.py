"""ImageNet-1K training images, no labels; random resized crop and flip only (MAE PRETRAIN.md; MixedAE section 4.1)."""

data_root = "{{$MIXEDAE_DATA_IMAGENET:data/imagenet}}"
batch_size = 4096  # all processes together: the batch that lr is for
train_pipeline = [
    dict(type="mixedae.LoadRandomResizedCrop", scale=224, crop_ratio_range=(0.2, 1.0), flip_prob=0.5),  # bicubic
    dict(type="PackInputs"),
]
train_dataloader = dict(  # batch_size: the leaf's, for each process
    num_workers=8,
    persistent_workers=True,
    drop_last=True,  # groups of 1/r images must be whole; in ImageNet's last batch on 8 processes they are not
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(type="mmpretrain.ImageNet", data_root=data_root, split="train", pipeline=train_pipeline),
)
