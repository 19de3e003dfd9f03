"""The building blocks that configs name: ``mixedae.<Class>``; the methods are in :mod:`mixedae.methods`."""

import mixedae.registry  # noqa: F401 - before the libraries
from mixedae import quiet
from mixedae.models.attentive_head import AttentiveProbeHead
from mixedae.models.crop_preprocessor import CropPreprocessor
from mixedae.models.decoder import MixedAEPretrainDecoder
from mixedae.models.distillation_head import DistillationHead
from mixedae.models.frozen_encoder import FrozenEncoder
from mixedae.models.head import HomologousContrastiveLoss, MixedAEPretrainHead
from mixedae.models.masked_vit import MaskedViT
from mixedae.models.pretrain_vit import MixedAEPretrainViT
from mixedae.models.pyramid import ViTPyramid
from mixedae.models.resnet import ResNet
from mixedae.models.simple_pyramid import SimpleFeaturePyramid
from mixedae.models.vit import MixedAEViT

quiet.without_lists_of_parameters()

__all__ = [
    "AttentiveProbeHead",
    "CropPreprocessor",
    "DistillationHead",
    "FrozenEncoder",
    "HomologousContrastiveLoss",
    "MaskedViT",
    "MixedAEPretrainDecoder",
    "MixedAEPretrainHead",
    "MixedAEPretrainViT",
    "MixedAEViT",
    "ResNet",
    "SimpleFeaturePyramid",
    "ViTPyramid",
]
