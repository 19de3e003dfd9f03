"""Homologous attention, Eq. (6) of MixedAE (arXiv 2303.17152), in plain tensor operations: what faster paths must meet.

Symbols: B samples, H heads, N tokens (prefix tokens such as [CLS] first, then L patches), D channels per head, K kept
keys.
"""

import torch
from torch import Tensor

from mixedae.errors import ConfigError


def scaled_scores(q: Tensor, k: Tensor, scale: float | None) -> Tensor:
    """Scaled scores (B, H, N, N) in at least fp32, also under autocast: bf16 scores would select other keys."""
    dtype = torch.promote_types(q.dtype, torch.float32)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    with torch.autocast(device_type=q.device.type, enabled=False):
        return (q.to(dtype) * scale) @ k.to(dtype).transpose(-2, -1)


def check_topk(topk: int | None) -> None:
    """Refuse K < 1.

    Raises:
        ConfigError: K < 1.
    """
    if topk is not None and topk < 1:
        raise ConfigError(f"topk={topk} found; a query keeps at least one key (or topk=None for plain attention)")


def key_pool(num_keys: int, num_prefix: int, allowed: Tensor | None, device: torch.device) -> Tensor | None:
    """The keys that each query may choose from.

    Returns:
        bool, broadcastable to (B, H, N, N); None if every key may be chosen.
    """
    if not num_prefix:
        return allowed
    in_pool = (torch.arange(num_keys, device=device) >= num_prefix)[None]
    return in_pool if allowed is None else in_pool & allowed


def _select(scores: Tensor, topk: int | None, num_prefix: int, allowed: Tensor | None) -> Tensor | None:
    check_topk(topk)
    pool = key_pool(scores.shape[-1], num_prefix, allowed, scores.device)
    if topk is None or topk >= scores.shape[-1] - num_prefix:
        return pool
    ranked = scores if pool is None else scores.masked_fill(~pool, -torch.inf)
    kept = torch.zeros_like(scores, dtype=torch.bool)
    kept.scatter_(-1, ranked.topk(topk, dim=-1, sorted=False).indices, True)
    return kept if pool is None else kept & pool


@torch.no_grad()
def topk_mask(
    q: Tensor,
    k: Tensor,
    topk: int,
    scale: float | None = None,
    num_prefix: int = 0,
    allowed: Tensor | None = None,
) -> Tensor:
    """The keys that homologous attention keeps: the K with the highest scores of each query, TopK in Eq. (6).

    Args:
        q: (B, H, N, D) queries.
        k: (B, H, N, D) keys.
        topk: K >= 1. Exactly K keys per query are kept, also under ties; if the pool has no more than K, all of it.
        scale: factor of the scores, default D ** -0.5.
        num_prefix: number of tokens in front ([CLS]) that are kept out of the pool: no query attends to them.
        allowed: bool, broadcastable to (B, H, N, N); False removes a key from a query's pool (the oracle mask).

    Returns:
        bool (B, H, N, N), True = kept.
    """
    scores = scaled_scores(q, k, scale)
    mask = _select(scores, topk, num_prefix, allowed)
    return torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand(scores.shape)


def homologous_attention_reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    topk: int | None,
    scale: float | None = None,
    num_prefix: int = 0,
    allowed: Tensor | None = None,
) -> Tensor:
    """softmax(TopK(q k^T / sqrt(D))) v, operation by operation; arguments as in ``homologous_attention``."""
    scores = scaled_scores(q, k, scale)
    mask = _select(scores.detach(), topk, num_prefix, allowed)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return (scores.softmax(dim=-1) @ v.to(scores.dtype)).to(v.dtype)
