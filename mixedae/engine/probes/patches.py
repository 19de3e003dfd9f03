"""Labelled patches: features of a frozen encoder's patches, and the pixels of the mask that lie below each.

References:
    CAPI, arXiv 2502.08769; facebookresearch/capi ``eval_segmentation.py`` (98b4fa1): a patch has the label that most of
    its pixels have, a patch whose label is ignored is left out, and a prediction holds for all pixels of a patch.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mixedae.engine.unwrapping import unwrapped
from mixedae.errors import ConfigError
from mixedae.models.vit import patch_size

IGNORED = 255
"""mmseg's label of pixels that do not count."""


@dataclass(frozen=True)
class Patches:
    """P labelled patches.

    Attributes:
        features: float32 (P, D).
        pixels: uint8 (P, side * side), the labels below each patch, row by row.
        pictures: int64 (P,), index of the picture in its dataset.
        keys: float64 (P,), by which patches were drawn.
    """

    features: Tensor
    pixels: Tensor
    pictures: Tensor
    keys: Tensor

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: Tensor) -> "Patches":
        return Patches(*(part[index] for part in (self.features, self.pixels, self.pictures, self.keys)))

    def to(self, device: torch.device) -> "Patches":
        """The same patches on another device.

        Args:
            device: to have them on.
        """
        return Patches(*(part.to(device) for part in (self.features, self.pixels, self.pictures, self.keys)))

    @property
    def labels(self) -> Tensor:
        """int64 (P,): the label of most pixels; of equals the smallest."""
        return self.pixels.mode(dim=1).values.long()

    @property
    def votes(self) -> Tensor:
        """``pixels``, where those that do not count have the patch's label: a prediction is always a class."""
        return torch.where(self.pixels == IGNORED, self.labels[:, None].to(torch.uint8), self.pixels)


def to_patches(mask: Tensor, size: tuple[int, int], side: int) -> Tensor:
    """The pixels of a mask that lie below each patch of the encoder's input.

    Args:
        mask: labels (H, W) of the picture at any size; brought to the input's by the nearest pixel.
        size: height and width of the input.
        side: of a patch; the last row and column may be incomplete, what is missing is :data:`IGNORED`.

    Returns:
        uint8 (rows * columns, side * side).
    """
    mask = resized(mask, size)
    height, width = (-(-length // side) * side for length in size)
    whole = torch.full((height, width), IGNORED, dtype=torch.uint8)
    whole[: size[0], : size[1]] = mask
    blocks = whole.view(height // side, side, width // side, side).transpose(1, 2)
    return blocks.reshape(-1, side * side)


def to_mask(pixels: Tensor, size: tuple[int, int], side: int, wanted: tuple[int, int]) -> Tensor:
    """The mask whose patches :func:`to_patches` gives, at another size.

    Args:
        pixels: (rows * columns, side * side).
        size: height and width of the encoder's input.
        side: of a patch.
        wanted: height and width of the mask; brought there by the nearest pixel.

    Returns:
        Labels of ``wanted`` size.
    """
    rows, columns = (-(-length // side) for length in size)
    whole = pixels.view(rows, columns, side, side).transpose(1, 2).reshape(rows * side, columns * side)
    return resized(whole[: size[0], : size[1]], wanted)


def resized(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask at another size: each pixel takes the label below its centre, as in Pillow.

    Args:
        mask: labels (H, W).
        size: height and width.
    """
    if tuple(mask.shape) == tuple(size):
        return mask
    rows, columns = (
        (2 * torch.arange(after) + 1) * before // (2 * after) for before, after in zip(mask.shape, size, strict=True)
    )
    return mask[rows][:, columns]


@torch.no_grad()
def encode(model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, list[Any], tuple[int, int], int]:
    """Features of the patches of a batch.

    Args:
        model: with ``backbone`` (``out_type="featmap"``) and ``data_preprocessor``.
        batch: of a segmentation set.

    Returns:
        (B, rows * columns, D) with the backbone's layers side by side, the data samples, the input's height and width,
        and the side of a patch.

    Raises:
        ConfigError: the backbone does not give maps.
    """
    module = unwrapped(model)
    data = module.data_preprocessor(batch, False)
    outs = module.backbone(data["inputs"])
    if outs[0].ndim != 4:
        raise ConfigError(
            f"a backbone whose outputs have the shape {tuple(outs[0].shape)} found; a dense probe expects maps: set "
            "model.backbone.out_type=featmap"
        )
    maps = torch.cat(outs, dim=1)
    height, width = data["inputs"].shape[-2:]
    return maps.flatten(2).transpose(1, 2).float(), data["data_samples"], (height, width), patch_size(module.backbone)


def sample_patches(model: nn.Module, loader: DataLoader, limit: int, seed: int = 0) -> Patches:
    """Draw labelled patches of a whole set, each with the same chance; never more than 2 x ``limit`` are in memory.

    Every patch gets a number from a generator that is seeded by the picture; those with the smallest numbers stay. So
    the draw depends neither on the batch size nor on the number of processes.

    Args:
        model: see :func:`encode`; its mode is restored.
        loader: pictures with masks, in order; every process may have its share.
        limit: P at most.
        seed: of the draw.

    Returns:
        The same patches on every process, on the CPU, in the dataset's order.
    """
    module = unwrapped(model)
    was_training = module.training
    module.eval()
    indices = iter([int(index) for index in loader.sampler])  # this process's share, in its order
    kept: list[Patches] = []
    count = 0
    for batch in loader:
        tokens, samples, size, side = encode(model, batch)
        for features, sample in zip(tokens.cpu(), samples, strict=True):
            kept.append(_of_picture(features, sample.gt_sem_seg.data[0].cpu(), size, side, next(indices), seed))
            count += len(kept[-1])
        if count > 2 * limit:
            kept = [_smallest(kept, limit)]
            count = len(kept[0])
    module.train(was_training)
    shares = all_gather_object(_smallest(kept, limit))
    return _smallest(shares, limit)


def _of_picture(features: Tensor, mask: Tensor, size: tuple[int, int], side: int, index: int, seed: int) -> Patches:
    pixels = to_patches(mask.to(torch.uint8), size, side)
    keys = torch.from_numpy(np.random.default_rng((seed, index)).random(len(pixels)))
    every = Patches(features, pixels, torch.full((len(pixels),), index), keys)
    return every[(every.labels != IGNORED).nonzero().flatten()]


def _smallest(parts: list[Patches], limit: int) -> Patches:
    """The patches with the smallest keys, by picture; a picture that two processes have, as padding, counts once."""
    every = Patches(
        *(torch.cat([getattr(part, name) for part in parts]) for name in ("features", "pixels", "pictures", "keys"))
    )
    place = torch.stack((every.pictures.double(), every.keys), dim=1)
    _, inverse = place.unique(dim=0, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1 if len(inverse) else 0,), len(inverse))
    first = first.scatter_reduce(0, inverse, torch.arange(len(inverse)), "amin")
    every = every[first]  # by picture, then by key
    chosen = every.keys.argsort(stable=True)[:limit]
    return every[chosen.sort().values]
