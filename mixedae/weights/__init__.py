"""State dicts: formats in, strict loading with a report."""

from mixedae.weights.formats import timm_to_mmpretrain, to_backbone
from mixedae.weights.loading import ALLOW_MISSING, LoadReport, fingerprint, load_backbone, load_model
from mixedae.weights.pretrained import PretrainedViT
from mixedae.weights.reading import read_state_dict

__all__ = [
    "ALLOW_MISSING",
    "LoadReport",
    "PretrainedViT",
    "fingerprint",
    "load_backbone",
    "load_model",
    "read_state_dict",
    "timm_to_mmpretrain",
    "to_backbone",
]
