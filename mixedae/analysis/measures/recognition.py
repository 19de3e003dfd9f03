"""TopK sampling accuracy, from checkpoints and from a run's log: Fig. 6 of MixedAE (arXiv 2303.17152)."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixedae.analysis.intervals import Numbers
from mixedae.errors import ConfigError, WeightsError
from mixedae.methods import MixedAE
from mixedae.models.recognition import chance_level, recognition_by_layer
from mixedae.models.vit import patch_size
from mixedae.ops import patchify, sample_sources
from mixedae.records import layer_of, scalar_lines


def recognition(model: Any, images: Tensor, groups: int = 16) -> tuple[Numbers, float]:
    """Accuracy of each layer and head over held-out images, one draw of the mixing masks with seed 0.

    Args:
        model: a ``mixedae.MixedAE``.
        images: (B, C, H, W), normalised; images beyond the last whole group are left out.
        groups: how many groups are encoded at a time.

    Returns:
        (layers, H), and chance.

    Raises:
        ConfigError: another kind of model, or fewer images than a group.
    """
    if not isinstance(model, MixedAE):
        raise ConfigError(f"a {type(model).__name__} found; only MixedAE mixes images and has something to recognise")
    group_size = model.group_size
    count = len(images) // group_size
    if not count:
        raise ConfigError(f"{len(images)} images found; expected a group of {group_size} at least")
    patches = patchify(images[: count * group_size], patch_size(model.backbone))
    length = patches.shape[1]
    draw = torch.Generator().manual_seed(0)
    sources = sample_sources(count, length, group_size, model.mode, draw, shares=model.shares)
    rows = len(sources) // count  # mixed samples per group
    parts = [
        (recognition_by_layer(model, some, mixed).double().numpy(), len(mixed))
        for some, mixed in zip(patches.split(groups * group_size), sources.split(groups * rows), strict=True)
    ]
    values, weights = zip(*parts, strict=True)
    return np.average(values, axis=0, weights=weights), chance_level(sources)


def epoch_checkpoints(folder: Path) -> dict[int, Path]:
    """The checkpoints that a run left behind.

    Args:
        folder: the run's work dir.

    Returns:
        Epoch to file, ascending.

    Raises:
        WeightsError: there are none.
    """
    found = {int(m[1]): path for path in folder.glob("epoch_*.pth") if (m := re.fullmatch(r"epoch_(\d+)", path.stem))}
    if not found:
        raise WeightsError(f"{folder} holds no epoch_*.pth; expected the work dir of a pre-training run")
    return dict(sorted(found.items()))


def logged(folder: Path) -> dict[int, list[float]]:
    """What :class:`mixedae.RecognitionHook` logged in a run, over all its starts.

    Args:
        folder: the run's work dir.

    Returns:
        Epoch to the accuracy of every layer; empty if the hook was not there.
    """
    epochs: dict[int, list[float]] = {}
    for line in scalar_lines(folder):
        layers = {layer: value for name, value in line.items() if (layer := layer_of(name)) is not None}
        if layers:
            epochs[int(line["epoch"])] = [layers[layer] for layer in sorted(layers)]
    return dict(sorted(epochs.items()))
