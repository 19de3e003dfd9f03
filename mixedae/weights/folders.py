"""Folders that other libraries load by themselves: weights, config, README, how pictures are prepared."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from mixedae.errors import WeightsError
from mixedae.weights.anatomy import Anatomy
from mixedae.weights.export import write_state_dict
from mixedae.weights.facts import CLIP_EPS, Facts
from mixedae.weights.vit import timm_options

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OPENAI = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Mean and deviation of the channels, 0..1: ImageNet's, which all recipes here use, and CLIP's."""


def normalisation(facts: Facts, this: Anatomy) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the channels, 0..1: the run's, else those that the kind of ViT was trained with.

    Args:
        facts: of the file.
        this: the ViT.
    """
    key = "model.data_preprocessor"
    if f"{key}.mean.0" in facts.run:
        found = [
            tuple(float(facts.run[f"{key}.{what}.{i}"]) / 255 for i in range(this.channels)) for what in ("mean", "std")
        ]
        return found[0], found[1]
    if this.channels != 3:
        return (0.5,) * this.channels, (0.5,) * this.channels
    return OPENAI if this.pre_norm else IMAGENET


def write_folder(
    folder: str | Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    readme: str,
    **files: Mapping[str, Any],
) -> None:
    """Write a new folder in one step: ``config.json``, ``model.safetensors``, ``README.md`` and further JSON files.

    Args:
        folder: must not exist, or be empty.
        config: of ``config.json``.
        tensors: of ``model.safetensors``.
        readme: text of ``README.md``.
        **files: name without ``.json``, and content.

    Raises:
        WeightsError: the folder holds something.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WeightsError(f"{folder} is there already; give a new folder, or remove it: nothing is overwritten")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise WeightsError(f"{folder} cannot be written ({error.strerror}); give a folder that can") from None
    try:
        write_state_dict(temporary / "model.safetensors", tensors, metadata={"format": "pt"})
        for name, content in {"config": config, **files}.items():
            (temporary / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        (temporary / "README.md").write_text(readme, encoding="utf-8")
        temporary.chmod(0o755)
        with suppress(FileNotFoundError):
            folder.rmdir()
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def preprocessor(this: Anatomy, facts: Facts) -> dict[str, Any]:
    """``preprocessor_config.json`` of transformers: resize to a square, bicubic; scale to 0..1; normalise.

    Args:
        this: the ViT.
        facts: of the file.
    """
    mean, std = normalisation(facts, this)
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": this.image[0], "width": this.image[1]},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(mean),
        "image_std": list(std),
    }


def timm_config(this: Anatomy, facts: Facts, num_classes: int) -> dict[str, Any]:
    """``config.json`` of timm: an architecture, the arguments that make it this ViT, and ``pretrained_cfg``.

    Args:
        this: the ViT.
        facts: of the file.
        num_classes: 0 without a classifier.
    """
    mean, std = normalisation(facts, this)
    clip = this.eps == CLIP_EPS
    options = {key: value for key, value in timm_options(this).items() if value is not None}
    return {
        "architecture": "vit_base_patch16_clip_224" if clip else "vit_base_patch16_224",  # CLIP's has another eps
        "num_classes": num_classes,
        "num_features": this.width,
        "global_pool": options["global_pool"],
        "model_args": options,
        "pretrained_cfg": {
            "input_size": [this.channels, *this.image],
            "fixed_input_size": False,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "mean": list(mean),
            "std": list(std),
            "num_classes": num_classes,
            "pool_size": None,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
    }
