"""MAE, mini ViT, 64 x 64, on Imagenette's photographs of centred objects (9,469), 24 epochs.

suites/photographs.yaml. Recipe and learning rate are those of the 3-epoch leaf for Tiny ImageNet.

MIXEDAE_DATA_IMAGENETTE=DIR python tools/train.py
    mm_configs/mini/pretrain/mae_vit-mini-p8_1xb64-coslr-24e_imagenette.py
"""

_base_ = [
    "../../_base_/models/mae_vit-mini-p8.py",
    "../../_base_/schedules/pretrain_tiny_imagenet.py",
    "../../_base_/pretrain_runtime.py",
    "../../_base_/online_imagenette.py",
]

max_epochs = 24
train_cfg = dict(max_epochs=max_epochs)
train_dataloader = dict(dataset=dict(data_root="{{$MIXEDAE_DATA_IMAGENETTE:data/imagenette}}"))
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)

custom_hooks = [*_base_.custom_hooks, *_base_.online.custom_hooks]
