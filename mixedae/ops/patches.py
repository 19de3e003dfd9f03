"""Images as sequences of patches."""

import torch
from torch import Tensor

from mixedae.errors import ImageSizeError


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """Cut images into non-overlapping patches, row by row; inside a patch the order is row, column, channel.

    Args:
        images: (B, C, H, W).
        patch_size: P, in pixels.

    Returns:
        (B, L, P*P*C), L = (H/P) * (W/P).

    Raises:
        ImageSizeError: P does not divide H or W.
    """
    b, c, h, w = images.shape
    if h % patch_size or w % patch_size:
        raise ImageSizeError(
            f"images of {h} x {w} pixels found, patch size {patch_size}: height and width must be multiples of it"
        )
    x = images.reshape(b, c, h // patch_size, patch_size, w // patch_size, patch_size)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, patch_size**2 * c)


def unpatchify(patches: Tensor, patch_size: int, grid: tuple[int, int]) -> Tensor:
    """Invert :func:`patchify`.

    Args:
        patches: (B, L, P*P*C).
        patch_size: P.
        grid: (H/P, W/P).

    Returns:
        (B, C, H, W).
    """
    b, rows, cols = patches.shape[0], *grid
    x = patches.reshape(b, rows, cols, patch_size, patch_size, -1)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(b, -1, rows * patch_size, cols * patch_size)


def normalize_patches(patches: Tensor, eps: float = 1e-6) -> Tensor:
    """Per-patch normalised pixels, MAE's reconstruction target with ``norm_pix``: (x - mean) / sqrt(var + eps).

    Args:
        patches: (..., P*P*C).
        eps: added to the unbiased variance.

    Returns:
        The same shape, in at least fp32.
    """
    x = patches.to(torch.promote_types(patches.dtype, torch.float32))
    var, mean = torch.var_mean(x, dim=-1, keepdim=True)
    return (x - mean) * (var + eps).rsqrt()


def take(tokens: Tensor, positions: Tensor) -> Tensor:
    """Pick tokens by position.

    Args:
        tokens: (B, L, C).
        positions: int64 (B, N).

    Returns:
        (B, N, C).
    """
    rows = torch.arange(len(tokens), device=tokens.device)[:, None] * tokens.shape[1] + positions
    picked = tokens.flatten(0, 1).index_select(0, rows.flatten())  # gather would keep ``tokens`` for its gradient
    return picked.unflatten(0, tuple(positions.shape))
