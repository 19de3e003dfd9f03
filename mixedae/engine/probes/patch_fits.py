"""What the dense probes compute on patches: standardised features, the vote of the nearest, held-out pictures, mIoU."""

import torch
from torch import Tensor

from mixedae.engine.probes.patches import IGNORED
from mixedae.errors import DataError

HELD_OUT = 10
"""Every tenth picture, in a drawn order, is held out."""
COMPARED = 2**26
"""Distances that are in memory at a time: 256 MB."""


def nearest_pixels(bank: Tensor, pixels: Tensor, queries: Tensor, k: int, cosine: bool) -> Tensor:
    """The most frequent label of the k nearest patches, pixel by pixel; of equals the smallest label.

    Args:
        bank: (P, D); of unit length for the angle.
        pixels: uint8 (P, S).
        queries: (Q, D).
        k: neighbours.
        cosine: by the angle instead of the Euclidean distance.

    Returns:
        uint8 (Q, S).
    """
    k, found = min(k, len(bank)), []
    lengths = bank.square().sum(dim=1)
    for part in queries.split(max(1, COMPARED // len(bank))):
        products = part @ bank.T  # cosine: the length of a query does not change the order
        order = products if cosine else 2 * products - lengths
        near = order.topk(k, dim=1).indices
        found.append(pixels[near].mode(dim=1).values)
    return torch.cat(found) if found else pixels.new_zeros(0, pixels.shape[1])


def mean_iou(predicted: Tensor, truth: Tensor, classes: int) -> float:
    """Mean intersection over union in per cent, over the classes that either of the two has.

    Args:
        predicted: labels of any shape.
        truth: labels of the same shape; :data:`~mixedae.engine.probes.patches.IGNORED` does not count.
        classes: C.
    """
    counted = truth != IGNORED
    pairs = truth[counted].long() * classes + predicted[counted].long()
    table = pairs.bincount(minlength=classes**2).view(classes, classes).double()
    union = table.sum(0) + table.sum(1) - table.diagonal()
    return float(100 * (table.diagonal()[union > 0] / union[union > 0]).mean())


def standardisation(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each feature (D,), float32; a deviation of zero is one.

    Args:
        features: (P, D).
    """
    mean = features.mean(0, dtype=torch.float64)
    deviation = features.std(0, correction=0)
    return mean.float(), torch.where(deviation > 0, deviation, torch.ones_like(deviation))


def held_out(pictures: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Places of the patches of nine tenths of the pictures, and of the rest; at least one picture is on each side.

    Args:
        pictures: int64 (P,), the picture of each patch.
        seed: of the draw.

    Raises:
        DataError: there is one picture only.
    """
    names = pictures.unique()
    if len(names) < 2:
        raise DataError(f"{len(names)} labelled training picture found; expected two at least, to choose on one")
    draw = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    order = names[draw.to(names.device)]
    side = torch.isin(pictures, order[: max(1, len(names) // HELD_OUT)])
    return (~side).nonzero().flatten(), side.nonzero().flatten()
