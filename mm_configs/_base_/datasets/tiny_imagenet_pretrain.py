"""Training pictures of a small ImageNet-style folder, 64 x 64, no labels; the rest is mini_pretrain.py's."""

_base_ = "./mini_pretrain.py"

train_dataloader = dict(
    dataset=dict(data_root="{{$MIXEDAE_DATA_IMAGENET:data/imagenet}}", data_prefix="train"),
)
