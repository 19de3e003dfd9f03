"""The modules that configs name: ``mixedae.<Class>``."""

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
