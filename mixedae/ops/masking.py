"""MAE's masks (arXiv 2111.06377, section 3 and Fig. 6): which patches are kept, which are removed.

Every mask of a batch removes the same number of patches, so both parts are dense tensors.
"""

import torch
from torch import Tensor

from mixedae.errors import ConfigError

MASKINGS = ("random", "block", "grid")


def random_masking(
    batch_size: int,
    num_patches: int,
    mask_ratio: float,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """MAE's default masks: int(L * (1 - ratio)) patches of each image are kept, the others are removed.

    Args:
        batch_size: B.
        num_patches: L.
        mask_ratio: share of removed patches, strictly between 0 and 1.
        generator: source of randomness.
        device: where to draw.

    Returns:
        int64 (B, kept) and int64 (B, L - kept): positions of the kept and of the removed patches, in random order.

    Raises:
        ConfigError: no patch would be kept, or none removed.
    """
    kept = num_kept(num_patches, mask_ratio)
    order = torch.rand(batch_size, num_patches, generator=generator, device=device).argsort(dim=1)
    return order[:, :kept], order[:, kept:]


def block_masking(
    batch_size: int,
    grid: tuple[int, int],
    mask_ratio: float,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Block-wise masks, those of BEiT (arXiv 2106.08254, algorithm 1) with an exact number of removed patches.

    Rectangles are laid one after the other until enough patches are covered. Of the last rectangle only as many
    patches as are still wanted are removed, at random. Areas are uniform between 16/196 of the image and the area to
    remove; aspect ratios are log-uniform between 0.3 and 1/0.3. Both are as in BEiT.

    Args:
        batch_size: B.
        grid: rows and columns of patches.
        mask_ratio: share of removed patches, strictly between 0 and 1.
        generator: source of randomness.
        device: where to draw.

    Returns:
        As :func:`random_masking`.

    Raises:
        ConfigError: no patch would be kept, or none removed.
    """
    (rows, cols), count = grid, 64  # 64 rectangles cover nearly everything; what they miss is removed at random
    length = rows * cols
    kept = num_kept(length, mask_ratio)
    u = torch.rand(5, batch_size, count, 1, generator=generator, device=device)
    smallest = 16 / 196 * length
    area = smallest + u[0] * (length - kept - smallest)
    aspect = torch.exp((2 * u[1] - 1) * torch.log(torch.tensor(1 / 0.3, device=device)))
    height = (area * aspect).clamp(min=1).sqrt().round().clamp(1, rows)
    width = (area / aspect).clamp(min=1).sqrt().round().clamp(1, cols)
    top, left = (u[2] * (rows - height + 1)).floor(), (u[3] * (cols - width + 1)).floor()
    row = torch.arange(length, device=device) // cols
    col = torch.arange(length, device=device) % cols
    inside = (row >= top) & (row < top + height) & (col >= left) & (col < left + width)  # (B, count, L)
    uncovered = torch.full((batch_size, 1, length), True, device=device)
    first = torch.cat((inside, uncovered), dim=1).int().argmax(dim=1)  # the rectangle that covers a patch first
    noise = torch.rand(batch_size, length, generator=generator, device=device)
    order = (first + noise).argsort(dim=1)
    return order[:, length - kept :], order[:, : length - kept]


def grid_masking(
    batch_size: int, grid: tuple[int, int], mask_ratio: float, device: torch.device | str | None = None
) -> tuple[Tensor, Tensor]:
    """Grid-wise masks: one of every 2 x 2 patches is kept, always the same one (MAE, Fig. 6, "grid 75").

    Args:
        batch_size: B.
        grid: rows and columns of patches, both even.
        mask_ratio: 0.75; nothing else is possible.
        device: of the result.

    Returns:
        As :func:`random_masking`, in order.

    Raises:
        ConfigError: another ratio, or an odd grid.
    """
    rows, cols = grid
    if mask_ratio != 0.75 or rows % 2 or cols % 2:
        raise ConfigError(
            f"mask ratio {mask_ratio} and {rows} x {cols} patches found; grid masking keeps one of every 2 x 2 "
            f"patches: it needs mask_ratio=0.75 and an even number of rows and columns"
        )
    place = torch.arange(rows * cols, device=device)
    keep = (place // cols % 2 == 0) & (place % cols % 2 == 0)
    return place[keep].expand(batch_size, -1), place[~keep].expand(batch_size, -1)


def draw_mask(
    masking: str,
    batch_size: int,
    grid: tuple[int, int],
    mask_ratio: float,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw a mask of one of the three kinds, by name.

    Args:
        masking: ``random``, ``block`` or ``grid``.
        batch_size: B.
        grid: rows and columns of patches.
        mask_ratio: share of removed patches.
        generator: source of randomness.
        device: where to draw.

    Returns:
        As :func:`random_masking`.

    Raises:
        ConfigError: unknown name; see the functions.
    """
    if masking == "random":
        return random_masking(batch_size, grid[0] * grid[1], mask_ratio, generator, device)
    if masking == "block":
        return block_masking(batch_size, grid, mask_ratio, generator, device)
    if masking == "grid":
        return grid_masking(batch_size, grid, mask_ratio, device)
    raise ConfigError(f"masking={masking!r} found; expected one of {MASKINGS}")


def num_kept(num_patches: int, mask_ratio: float) -> int:
    """Patches that a mask keeps, int(L * (1 - ratio)).

    Args:
        num_patches: L.
        mask_ratio: share of removed patches.

    Raises:
        ConfigError: no patch would be kept, or none removed.
    """
    kept = int(num_patches * (1 - mask_ratio))
    if not 0 < kept < num_patches:
        raise ConfigError(
            f"mask ratio {mask_ratio} keeps {kept} of {num_patches} patches; keep at least 1, remove at least 1"
        )
    return kept
