"""Homologous attention, Eq. (6) of MixedAE (arXiv 2303.17152, section 3.2): softmax(TopK(q k^T / sqrt(D))) v.

Symbols: B samples, H heads, N tokens (prefix tokens such as [CLS] first, then L patches), D channels a head, K kept
keys.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mixedae.errors import ConfigError


def _scores(q: Tensor, k: Tensor, scale: float | None) -> Tensor:
    """Scaled scores (B, H, N, N) in at least fp32, whatever autocast says: bf16 scores select other keys."""
    dtype = torch.promote_types(q.dtype, torch.float32)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    with torch.autocast(device_type=q.device.type, enabled=False):
        return (q.to(dtype) * scale) @ k.to(dtype).transpose(-2, -1)


def _candidates(scores: Tensor, num_prefix: int, allowed: Tensor | None) -> Tensor | None:
    """The keys that each query may choose from, bool, broadcastable to ``scores``; None where it is all of them."""
    pool = allowed
    if num_prefix:
        in_pool = torch.arange(scores.shape[-1], device=scores.device) >= num_prefix
        pool = in_pool if pool is None else pool & in_pool
    return pool


def _select(scores: Tensor, topk: int | None, num_prefix: int, allowed: Tensor | None) -> Tensor | None:
    pool = _candidates(scores, num_prefix, allowed)
    if topk is not None and topk < 1:
        raise ConfigError(f"topk={topk} found; a query keeps at least one key (or topk=None for plain attention)")
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
        topk: K >= 1. Exactly K keys a query are kept, also under ties; all of the pool where it has no more than K.
        scale: factor of the scores, default D ** -0.5.
        num_prefix: number of tokens in front ([CLS]) that are kept out of the pool: no query attends to them.
        allowed: bool, broadcastable to (B, H, N, N); False removes a key from a query's pool (the oracle mask).

    Returns:
        bool (B, H, N, N), True = kept.
    """
    scores = _scores(q, k, scale)
    mask = _select(scores, topk, num_prefix, allowed)
    return torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand(scores.shape)


def homologous_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    topk: int | None,
    scale: float | None = None,
    num_prefix: int = 0,
    allowed: Tensor | None = None,
) -> Tensor:
    """TopK attention, Eq. (6): each query attends to the K keys with its highest scores, and to no other.

    The selection is made once, without gradient, and handed as a mask to PyTorch's scaled dot-product attention, which
    recomputes the scores in its fused kernels: forward and backward see the same keys, and no gradient reaches a score
    that was not selected. The selection and the softmax are computed in at least fp32.

    Args:
        q: (B, H, N, D) queries.
        k: (B, H, N, D) keys.
        v: (B, H, N, D) values.
        topk: K, or None for plain attention.
        scale: factor of the scores, default D ** -0.5.
        num_prefix: number of tokens in front ([CLS]) that are kept out of the pool of keys.
        allowed: bool, broadcastable to (B, H, N, N); False removes a key from a query's pool (the oracle mask). Every
            query needs one key at least.

    Returns:
        (B, H, N, D) in the dtype of ``v``.
    """
    if topk is None or topk >= k.shape[-2] - num_prefix:  # every key of the pool is kept: no scores needed
        mask = _candidates(q.new_empty(1, k.shape[-2]), num_prefix, allowed)
    else:
        mask = topk_mask(q, k, topk, scale, num_prefix, allowed)
    if mask is not None and mask.dim() < 2:
        mask = mask.expand(q.shape[-2], -1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


def homologous_attention_reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    topk: int | None,
    scale: float | None = None,
    num_prefix: int = 0,
    allowed: Tensor | None = None,
) -> Tensor:
    """:func:`homologous_attention` in plain tensor operations: the definition that faster paths must meet."""
    scores = _scores(q, k, scale)
    mask = _select(scores.detach(), topk, num_prefix, allowed)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return (scores.softmax(dim=-1) @ v.to(scores.dtype)).to(v.dtype)


def recognition_accuracy(mask: Tensor, sources: Tensor) -> Tensor:
    """TopK sampling accuracy of section 4.5 and Fig. 6: the share of kept keys that come from the query's own image.

    Only patch queries and patch keys count, and a query's own patch is left out; chance is then (rL-1)/(L-1).

    Args:
        mask: bool (B, H, N, N) of kept keys; tokens before the last L are prefix tokens.
        sources: int64 (B, L).

    Returns:
        (H,) in 0..1, over all samples and queries of the batch.
    """
    length = sources.shape[-1]
    kept = mask[..., -length:, -length:] & ~torch.eye(length, dtype=torch.bool, device=mask.device)
    homologous = same_source(sources)[:, None]
    return (kept & homologous).sum(dim=(0, 2, 3)) / kept.sum(dim=(0, 2, 3)).clamp(min=1)


def same_source(sources: Tensor) -> Tensor:
    """Whether two positions of a mixed sample show the same image.

    Args:
        sources: int64 (B, L).

    Returns:
        bool (B, L, L).
    """
    return sources[:, :, None] == sources[:, None, :]
