"""Homologous attention, Eq. (6) of MixedAE (arXiv 2303.17152, section 3.2): softmax(TopK(q k^T / sqrt(D))) v.

There is one definition (reference.py) and three ways of running it: a fused Triton kernel on a GPU, an operator for
the CPU, and, for inputs that neither takes, a mask handed to PyTorch's scaled dot-product attention.

Symbols: B samples, H heads, N tokens (prefix tokens such as [CLS] first, then L patches), D channels per head, K kept
keys.
"""

import contextlib
import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

from mixedae.ops.attention.cpu import attend_on_cpu
from mixedae.ops.attention.reference import check_topk, key_pool, topk_mask

fused_attention: Callable[[Tensor, Tensor, Tensor, int, float, int], Tensor] | None = None
if torch.cuda.is_available():
    with contextlib.suppress(ModuleNotFoundError):  # PyTorch brings Triton on systems that Triton supports
        from mixedae.ops.attention.fused import fused_attention

FUSED_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
FUSED_MAX_TOKENS, FUSED_MAX_CHANNELS = 1024, 128


def homologous_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    topk: int | None,
    scale: float | None = None,
    num_prefix: int = 0,
    allowed: Tensor | None = None,
) -> Tensor:
    """TopK attention, Eq. (6): each query attends to the K keys with its highest scores, and to no others.

    The selection is made once: forward and backward keep the same keys, and no gradient reaches a score that was not
    selected. Scores, selection and softmax are computed in at least fp32. On a GPU, inputs that the fused kernel does
    not take are attended with a mask, and one log line says why.

    Args:
        q: (B, H, N, D) queries.
        k: (B, H, N, D) keys.
        v: (B, H, N, D) values.
        topk: K, or None for plain attention.
        scale: factor of the scores, default D ** -0.5.
        num_prefix: number of tokens in front ([CLS]) that are kept out of the pool of keys.
        allowed: bool, broadcastable to (B, H, N, N); False removes a key from a query's pool (the oracle mask). Every
            query needs at least one key.

    Returns:
        (B, H, N, D) in the dtype of ``v``.

    Raises:
        ConfigError: K < 1.
    """
    check_topk(topk)
    if topk is None or topk >= k.shape[-2] - num_prefix:  # every key of the pool is kept: no scores needed
        pool = key_pool(k.shape[-2], num_prefix, allowed, k.device)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=pool, scale=scale)
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    reason = why_not_fused(q, k, v, allowed)
    if q.is_cuda and fused_attention is not None and not reason:
        return fused_attention(q, k, v, topk, factor, num_prefix)
    if q.device.type == "cpu" and allowed is None and q.shape == k.shape == v.shape and q.dtype == k.dtype == v.dtype:
        return attend_on_cpu(q, k, v, topk, factor, num_prefix)
    if q.is_cuda and not torch.compiler.is_compiling():
        _log_fallback(reason or "Triton is not installed")
    mask = topk_mask(q, k, topk, scale, num_prefix, allowed)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


def why_not_fused(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None) -> str:
    """Say what the fused kernel does not support about these inputs; empty if it takes them."""
    if allowed is not None:
        return "a mask of allowed keys is given"
    if not q.shape == k.shape == v.shape:
        return f"queries {tuple(q.shape)}, keys {tuple(k.shape)} and values {tuple(v.shape)} differ in shape"
    if not (q.dtype == k.dtype == v.dtype and q.dtype in FUSED_DTYPES):
        return f"inputs are {q.dtype}, {k.dtype}, {v.dtype}; it takes fp32, bf16 or fp16, all the same"
    if q.shape[-2] > FUSED_MAX_TOKENS or q.shape[-1] > FUSED_MAX_CHANNELS:
        return f"{q.shape[-2]} tokens, {q.shape[-1]} channels a head; at most {FUSED_MAX_TOKENS}, {FUSED_MAX_CHANNELS}"
    if q.is_cuda and torch.cuda.get_device_capability(q.device) < (8, 0):
        return f"{torch.cuda.get_device_name(q.device)} is older than compute capability 8.0"
    return ""


@functools.cache
def _log_fallback(reason: str) -> None:
    print_log(f"homologous attention runs without its fused kernel: {reason}", logger="current")


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
    """Tell for each pair of positions of a mixed sample whether both show the same image.

    Args:
        sources: int64 (B, L).

    Returns:
        bool (B, L, L).
    """
    return sources[:, :, None] == sources[:, None, :]
