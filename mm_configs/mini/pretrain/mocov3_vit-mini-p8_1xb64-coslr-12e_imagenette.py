"""MoCo v3, mini ViT, on Imagenette's photographs at 64 x 64, 12 epochs: as many pixels seen as by MAE in 24.

MIXEDAE_DATA_IMAGENETTE=DIR python tools/train.py
    mm_configs/mini/pretrain/mocov3_vit-mini-p8_1xb64-coslr-12e_imagenette.py
"""

_base_ = "mocov3_vit-mini-p8_1xb64-coslr-9e_mini.py"

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
train_dataloader = dict(
    dataset=dict(data_root="{{$MIXEDAE_DATA_IMAGENETTE:data/imagenette}}", data_prefix="train"),
)
