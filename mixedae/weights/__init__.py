"""State dicts: formats in, strict loading with a report."""

from mixedae.weights.export import Conversion, convert, write_state_dict
from mixedae.weights.formats import mmpretrain_to_timm, timm_to_mmpretrain, to_backbone, to_resnet
from mixedae.weights.loading import (
    ALLOW_MISSING,
    LoadReport,
    fingerprint,
    load_backbone,
    load_model,
    load_whole,
    outline,
)
from mixedae.weights.pretrained import PretrainedResNet, PretrainedViT
from mixedae.weights.reading import Weights, read_checkpoint, read_state_dict, read_weights

__all__ = [
    "ALLOW_MISSING",
    "Conversion",
    "LoadReport",
    "PretrainedResNet",
    "PretrainedViT",
    "Weights",
    "convert",
    "fingerprint",
    "load_backbone",
    "load_model",
    "load_whole",
    "mmpretrain_to_timm",
    "outline",
    "read_checkpoint",
    "read_state_dict",
    "read_weights",
    "timm_to_mmpretrain",
    "to_backbone",
    "to_resnet",
    "write_state_dict",
]
