"""Where [CLS] looks: Fig. 5 of MixedAE (arXiv 2303.17152), and the same in numbers, against object masks.

Symbols: B images, h x w patches, one map per image; ``share`` is the part of a patch that is foreground.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mixedae.models.recognition import evaluating, queries_and_keys
from mixedae.models.vit import patch_size

CENTRE_SIGMA = 0.25
"""Standard deviation of the centre prior, in image sides."""


def cls_attention(encoder: Any, images: Tensor) -> Tensor:
    """Attention of [CLS] to the patches in the last layer, averaged over heads (section 3.4).

    The encoder runs as in transfer: whole images, plain attention. The softmax is over all keys, as in the model. The
    attention of [CLS] to itself is left out, and the rest is scaled to sum to 1.

    Args:
        encoder: a ViT with mmpretrain's parts and a [CLS] token.
        images: (B, C, H, W), normalised.

    Returns:
        (B, h, w), each summing to 1.
    """
    with evaluating(encoder), queries_and_keys(encoder.layers[-1:]) as noted:
        encoder(images)
    ((q, k),) = noted
    scores = (q[:, :, 0] * q.shape[-1] ** -0.5)[:, :, None] @ k.transpose(-2, -1)
    attention = scores.softmax(dim=-1).mean(dim=1)[:, 0, encoder.num_extra_tokens :]
    attention = attention / attention.sum(dim=-1, keepdim=True)
    patch = patch_size(encoder)
    return attention.unflatten(-1, (images.shape[-2] // patch, images.shape[-1] // patch))


def foreground_share(masks: Tensor, patch_size: int) -> Tensor:
    """The part of every patch that is foreground.

    Args:
        masks: bool (B, H, W), True = foreground.
        patch_size: P.

    Returns:
        (B, H/P, W/P), 0..1.
    """
    return F.avg_pool2d(masks[:, None].double(), patch_size)[:, 0]


def attention_mass(maps: Tensor, share: Tensor) -> Tensor:
    """Share of the attention that falls on the foreground; within a patch attention is spread evenly.

    Args:
        maps: (B, h, w), not negative.
        share: (B, h, w).

    Returns:
        (B,), 0..1. Uniform attention gives the foreground's share of the image.
    """
    return (maps * share).sum(dim=(1, 2)) / maps.sum(dim=(1, 2))


def best_iou(maps: Tensor, share: Tensor) -> Tensor:
    """Largest IoU, in pixels, of {patches with attention >= t} with the foreground, over all thresholds t.

    Args:
        maps: (B, h, w). Patches with equal attention are selected together.
        share: (B, h, w).

    Returns:
        (B,), 0..1. A ranking by ``share`` itself gives the most that whole patches can reach.
    """
    values, order = maps.flatten(1).sort(dim=1, descending=True)
    share = share.flatten(1)
    hit = share.gather(1, order).cumsum(dim=1)
    selected = torch.arange(1, share.shape[1] + 1, device=share.device)
    iou = hit / (selected + share.sum(dim=1, keepdim=True) - hit)
    splits_a_tie = F.pad(values[:, :-1] == values[:, 1:], (0, 1), value=False)
    return iou.masked_fill(splits_a_tie, 0).amax(dim=1)


def centre_prior(grid: tuple[int, int]) -> Tensor:
    """A Gaussian: the map of one who knows only that objects tend to be in the middle.

    Args:
        grid: (h, w).

    Returns:
        (h, w), summing to 1.
    """
    rows, cols = (
        torch.exp(-0.5 * (((torch.arange(n, dtype=torch.float64) + 0.5) / n - 0.5) / CENTRE_SIGMA) ** 2) for n in grid
    )
    prior = rows[:, None] * cols
    return prior / prior.sum()
