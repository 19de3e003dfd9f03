"""Homologous attention, Eq. (6) of MixedAE (arXiv 2303.17152), on a CPU: operator ``mixedae::topk_attention_cpu``.

Chosen by measurement (docs/performance.md): NumPy sorts a row of scores with SIMD instructions 20 times faster than
``torch.topk`` selects from it, and the scores of one sample stay in cache from the matrix product to the weights. Which
keys were selected is kept for the backward pass, one byte per score. The weights, four bytes each, are computed again.
"""

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mixedae.ops.counting import attention_backward_flops, attention_flops

CHUNK = 2**19  # scores computed at a time: about 2 MB in fp32


def attend_on_cpu(q: Tensor, k: Tensor, v: Tensor, topk: int, scale: float, num_prefix: int) -> Tensor:
    """Call the operator; arguments as in ``homologous_attention``, with 1 <= K < N - num_prefix and equal dtypes."""
    return topk_attention_cpu(q, k, v, topk, scale, num_prefix)[0]


def _chunks(q: Tensor) -> list[slice]:
    samples, heads, tokens, _ = q.shape
    size = max(1, CHUNK // (heads * tokens**2))
    return [slice(first, first + size) for first in range(0, samples, size)]


def _tokens_first(x: Tensor) -> Tensor:
    """Empty (B, H, N, D) whose heads lie side by side: joining them, as the output projection does, copies nothing."""
    b, h, n, d = x.shape
    return x.new_empty(b, n, h, d).transpose(1, 2)


def _computing(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _scores(q: Tensor, k: Tensor, scale: float, num_prefix: int) -> Tensor:
    dtype = _computing(q.dtype)
    scores = (q.to(dtype) * scale) @ k.to(dtype).transpose(-2, -1)
    scores[..., :num_prefix] = -torch.inf
    return scores


def select_topk(scores: Tensor, topk: int) -> Tensor:
    """Select the K largest scores of each row; among tied keys ``torch.topk`` decides.

    Args:
        scores: (..., N), on a CPU, in fp32 or fp64; K < N.
        topk: K.

    Returns:
        bool (..., N), True = selected.
    """
    ranked = torch.from_numpy(np.sort(scores.numpy(), axis=-1))
    threshold, next_largest = ranked[..., -topk], ranked[..., -topk - 1]
    kept = scores >= threshold[..., None]
    tied = threshold == next_largest
    rows = scores[tied]
    if len(rows):
        best = rows.topk(topk, dim=-1, sorted=False).indices
        kept[tied] = torch.zeros_like(rows, dtype=torch.bool).scatter_(-1, best, True)
    return kept


def softmax_over_(scores: Tensor, kept: Tensor) -> Tensor:
    """Softmax of each row over the keys that were kept, in place. The row's largest score must be among them.

    It multiplies by bytes, because filling by mask takes ten times as long. A NaN spreads over its row.

    Args:
        scores: (..., N).
        kept: bool (..., N).
    """
    weights = scores.sub_(scores.amax(dim=-1, keepdim=True)).exp_().mul_(kept.view(torch.uint8))
    return weights.div_(weights.sum(dim=-1, keepdim=True))


@torch.library.custom_op("mixedae::topk_attention_cpu", mutates_args=(), device_types="cpu")
@torch.autocast("cpu", enabled=False)  # products in bf16 would select other keys
def topk_attention_cpu(
    q: Tensor, k: Tensor, v: Tensor, topk: int, scale: float, num_prefix: int
) -> tuple[Tensor, Tensor]:
    """Compute the output (B, H, N, D) and the selection, bool (B, H, N, N)."""
    dtype = _computing(q.dtype)
    out, kept = _tokens_first(q), q.new_empty((*q.shape[:3], q.shape[2]), dtype=torch.bool)
    for chunk in _chunks(q):
        scores = _scores(q[chunk], k[chunk], scale, num_prefix)
        kept[chunk] = select_topk(scores, topk)
        out[chunk] = softmax_over_(scores, kept[chunk]) @ v[chunk].to(dtype)
    return out, kept


@topk_attention_cpu.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, topk: int, scale: float, num_prefix: int) -> tuple[Tensor, Tensor]:
    return _tokens_first(q), q.new_empty((*q.shape[:3], q.shape[2]), dtype=torch.bool)


@torch.library.custom_op("mixedae::topk_attention_cpu_backward", mutates_args=(), device_types="cpu")
@torch.autocast("cpu", enabled=False)  # products in bf16 would select other keys
def topk_attention_cpu_backward(
    d_out: Tensor, q: Tensor, k: Tensor, v: Tensor, kept: Tensor, scale: float, num_prefix: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v; the weights are computed again over the keys that were selected."""
    dtype = _computing(q.dtype)
    d_q, d_k, d_v = _tokens_first(q), _tokens_first(q), _tokens_first(q)
    for chunk in _chunks(q):
        p, d = softmax_over_(_scores(q[chunk], k[chunk], scale, num_prefix), kept[chunk]), d_out[chunk].to(dtype)
        d_v[chunk] = p.transpose(-2, -1) @ d
        d_scores = d @ v[chunk].to(dtype).transpose(-2, -1)
        d_scores.sub_((d_scores * p).sum(dim=-1, keepdim=True)).mul_(p).mul_(scale)
        d_q[chunk] = d_scores @ k[chunk].to(dtype)
        d_k[chunk] = d_scores.transpose(-2, -1) @ q[chunk].to(dtype)
    return d_q, d_k, d_v


@topk_attention_cpu_backward.register_fake
def _(
    d_out: Tensor, q: Tensor, k: Tensor, v: Tensor, kept: Tensor, scale: float, num_prefix: int
) -> tuple[Tensor, Tensor, Tensor]:
    return _tokens_first(q), _tokens_first(q), _tokens_first(q)


def _setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    q, k, v, _, ctx.scale, ctx.num_prefix = inputs
    ctx.save_for_backward(q, k, v, output[1])
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, d_out, _d_kept):  # type: ignore[no-untyped-def]
    return *topk_attention_cpu_backward(d_out, *ctx.saved_tensors, ctx.scale, ctx.num_prefix), None, None, None


topk_attention_cpu.register_autograd(_backward, setup_context=_setup_context)


register_flop_formula(torch.ops.mixedae.topk_attention_cpu)(attention_flops)
register_flop_formula(torch.ops.mixedae.topk_attention_cpu_backward)(attention_backward_flops)
