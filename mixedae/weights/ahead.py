"""A checkpoint that is checked before a training is read once: the training takes what the check has read."""

from pathlib import Path

import torch

from mixedae.weights.reading import Weights, local_file, read_weights

Key = tuple[str, int, int, str]
_AHEAD: dict[Key, Weights] = {}


def read_ahead(path: str | Path, part: str = "") -> None:
    """Read a file's weights and keep them for the next :func:`take_weights` of the same unchanged file.

    Args:
        path: see :func:`mixedae.weights.read_weights`.
        part: see there.

    Raises:
        WeightsError: see there.
    """
    _AHEAD.clear()  # one file at most: they are large
    weights = read_weights(path, part=part)
    _AHEAD[_key(path, part)] = weights


def take_weights(path: str | Path, map_location: str | torch.device = "cpu", part: str = "") -> Weights:
    """What was read ahead, which is then forgotten; else :func:`mixedae.weights.read_weights`.

    Args:
        path: see there.
        map_location: see there.
        part: see there.

    Raises:
        WeightsError: see there.
    """
    kept = _AHEAD.pop(_key(path, part), None) if str(map_location) == "cpu" else None
    return kept or read_weights(path, map_location, part)


def _key(path: str | Path, part: str) -> Key:
    file = local_file(path).resolve()
    status = file.stat()
    return str(file), status.st_size, status.st_mtime_ns, part
