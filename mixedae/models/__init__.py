"""The modules that configs name: ``mixedae.<Class>``."""

from mixedae.models.crop_preprocessor import CropPreprocessor
from mixedae.models.decoder import MixedAEPretrainDecoder
from mixedae.models.head import HomologousContrastiveLoss, MixedAEPretrainHead
from mixedae.models.mae import MAE
from mixedae.models.mixedae import MixedAE
from mixedae.models.pretrain_vit import MixedAEPretrainViT
from mixedae.models.pyramid import ViTPyramid
from mixedae.models.resnet import ResNet
from mixedae.models.simple_pyramid import SimpleFeaturePyramid
from mixedae.models.vit import MixedAEViT

__all__ = [
    "MAE",
    "CropPreprocessor",
    "HomologousContrastiveLoss",
    "MixedAE",
    "MixedAEPretrainDecoder",
    "MixedAEPretrainHead",
    "MixedAEPretrainViT",
    "MixedAEViT",
    "ResNet",
    "SimpleFeaturePyramid",
    "ViTPyramid",
]
