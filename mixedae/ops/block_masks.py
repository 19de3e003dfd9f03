"""Block-wise masks with a number of patches that varies from picture to picture, as iBOT draws them.

References:
    BEiT, arXiv 2106.08254, algorithm 1; bytedance/ibot ``loader.py`` (ImageFolderMask).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

ASPECT = (0.3, 1 / 0.3)
TRIES = 10


def draw_ratio(ratios: Sequence[float], spreads: Sequence[float], generator: torch.Generator | None = None) -> float:
    """One of several ratios, each uniform around its mean.

    Args:
        ratios: means; iBOT's (0, 0.3) leaves half of the crops unmasked.
        spreads: half-widths; iBOT's (0, 0.2).
        generator: of random numbers.
    """
    drawn = [r + s * (2 * _uniform(generator) - 1) for r, s in zip(ratios, spreads, strict=True)]
    return drawn[int(torch.randint(len(drawn), (), generator=generator))]


def draw_block_mask(grid: tuple[int, int], ratio: float, generator: torch.Generator | None = None) -> Tensor:
    """Rectangles are added until the ratio is reached, or none of ten in a row fits any more.

    Args:
        grid: rows and columns.
        ratio: share of the patches, at most.
        generator: of random numbers.

    Returns:
        bool (rows, columns), True where masked.
    """
    rows, columns = grid
    mask = torch.zeros(grid, dtype=torch.bool)
    wanted, count = ratio * rows * columns, 0
    while count < wanted:
        added = _add_block(mask, wanted - count, generator)
        if not added:
            break
        count += added
    return mask


def _add_block(mask: Tensor, most: float, generator: torch.Generator | None) -> int:
    rows, columns = mask.shape
    least = (min(rows, columns) // 3) ** 2
    for _ in range(TRIES):
        area = least + _uniform(generator) * (most - least)
        aspect = math.exp(math.log(ASPECT[0]) + _uniform(generator) * (math.log(ASPECT[1]) - math.log(ASPECT[0])))
        height, width = round(math.sqrt(max(area, 0) * aspect)), round(math.sqrt(max(area, 0) / aspect))
        if not (height < rows and width < columns):
            continue
        top = int(torch.randint(rows - height + 1, (), generator=generator))
        left = int(torch.randint(columns - width + 1, (), generator=generator))
        block = mask[top : top + height, left : left + width]
        new = height * width - int(block.sum())
        if 0 < new <= most:
            block.fill_(True)
            return new
    return 0


def _uniform(generator: torch.Generator | None) -> float:
    return float(torch.rand((), generator=generator, dtype=torch.float64))
