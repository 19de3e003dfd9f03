"""State dicts: formats in, strict loading with a report. Names load when they are asked for; some need OpenMMLab."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixedae.weights.ahead import read_ahead
    from mixedae.weights.anatomy import Anatomy, anatomy_of, check_whole
    from mixedae.weights.export import Conversion, convert, write_state_dict
    from mixedae.weights.fingerprints import fingerprint
    from mixedae.weights.formats import mmpretrain_to_timm, timm_to_mmpretrain, to_backbone, to_resnet
    from mixedae.weights.loading import ALLOW_MISSING, load_backbone, outline
    from mixedae.weights.pretrained import PretrainedResNet, PretrainedViT
    from mixedae.weights.reading import Weights, read_checkpoint, read_state_dict, read_weights
    from mixedae.weights.report import LoadReport
    from mixedae.weights.vit import load_vit
    from mixedae.weights.whole import load_model, load_start, load_whole

PLACES = {
    "ahead": ("read_ahead",),
    "anatomy": ("Anatomy", "anatomy_of", "check_whole"),
    "export": ("Conversion", "convert", "write_state_dict"),
    "fingerprints": ("fingerprint",),
    "formats": ("mmpretrain_to_timm", "timm_to_mmpretrain", "to_backbone", "to_resnet"),
    "loading": ("ALLOW_MISSING", "load_backbone", "outline"),
    "pretrained": ("PretrainedResNet", "PretrainedViT"),
    "reading": ("Weights", "read_checkpoint", "read_state_dict", "read_weights"),
    "report": ("LoadReport",),
    "vit": ("load_vit",),
    "whole": ("load_model", "load_start", "load_whole"),
}

__all__ = [
    "ALLOW_MISSING",
    "Anatomy",
    "Conversion",
    "LoadReport",
    "PretrainedResNet",
    "PretrainedViT",
    "Weights",
    "anatomy_of",
    "check_whole",
    "convert",
    "fingerprint",
    "load_backbone",
    "load_model",
    "load_start",
    "load_vit",
    "load_whole",
    "mmpretrain_to_timm",
    "outline",
    "read_ahead",
    "read_checkpoint",
    "read_state_dict",
    "read_weights",
    "timm_to_mmpretrain",
    "to_backbone",
    "to_resnet",
    "write_state_dict",
]


def __getattr__(name: str) -> Any:
    for module, names in PLACES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
