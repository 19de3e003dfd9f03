"""MAE, mini ViT, on a small ImageNet-style folder of photographs, 3 epochs, input from memory.

The recipe is that of the leaf without "-in-memory"; docs/performance.md, *Input*, says what is gained.

MIXEDAE_DATA_IMAGENET=DIR python tools/train.py
    mm_configs/mini/pretrain/mae_vit-mini-p8_1xb64-coslr-3e_tiny-imagenet-in-memory.py
"""

_base_ = [
    "./mae_vit-mini-p8_1xb64-coslr-3e_tiny-imagenet.py",
    "../../_base_/datasets/tiny_imagenet_in_memory.py",
]

train_dataloader = _base_.loader_in_memory
model = dict(data_preprocessor=_base_.crop_preprocessor)
