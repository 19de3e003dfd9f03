"""MixedAE, mini ViT, on a small ImageNet-style folder of photographs, 3 epochs: suites/real_small.yaml.

MIXEDAE_DATA_IMAGENET=DIR python tools/train.py
    mm_configs/mini/pretrain/mixedae_vit-mini-p8_1xb64-coslr-3e_tiny-imagenet.py
"""

_base_ = [
    "../../_base_/models/mixedae_vit-mini-p8.py",
    "../../_base_/schedules/pretrain_tiny_imagenet.py",
    "../../_base_/pretrain_runtime.py",
]

custom_hooks = [*_base_.custom_hooks, dict(type="mixedae.RecognitionHook")]  # Fig. 6b during training
