"""SimMIM, mini ViT, on Imagenette's photographs at 64 x 64, 24 epochs.

MIXEDAE_DATA_IMAGENETTE=DIR python tools/train.py
    mm_configs/mini/pretrain/simmim_vit-mini-p8_1xb64-coslr-24e_imagenette.py
"""

_base_ = "simmim_vit-mini-p8_1xb64-coslr-18e_mini.py"

max_epochs = 24
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
train_dataloader = dict(
    dataset=dict(data_root="{{$MIXEDAE_DATA_IMAGENETTE:data/imagenette}}", data_prefix="train"),
)
