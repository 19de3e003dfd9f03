"""Homologous attention, Eq. (6) of MixedAE (arXiv 2303.17152), on a CPU: operator ``mixedae::topk_attention_cpu``.

Chosen by measurement (docs/performance.md): NumPy sorts a row of scores with SIMD instructions 20 times faster than
``torch.topk`` selects from it, the scores of one sample stay in cache from the matrix product to the weights, and
keeping the weights for the backward pass is cheaper than recomputing them.
"""

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

CHUNK = 2**19  # scores that are worked on at a time: about 2 MB in fp32


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


def keep_topk_(scores: Tensor, topk: int) -> None:
    """Set all but the K largest of each row to -inf, in place; of tied keys ``torch.topk`` says which stay.

    Args:
        scores: (..., N), on a CPU, in fp32 or fp64; K < N.
        topk: K.
    """
    ranked = torch.from_numpy(np.sort(scores.numpy(), axis=-1))
    threshold, next_largest = ranked[..., -topk], ranked[..., -topk - 1]
    tied = threshold == next_largest
    rows = scores[tied]
    scores.masked_fill_(scores < threshold[..., None], -torch.inf)
    if len(rows):
        only = torch.full_like(rows, -torch.inf)
        best = rows.topk(topk, dim=-1, sorted=False)
        scores[tied] = only.scatter_(-1, best.indices, best.values)


@torch.library.custom_op("mixedae::topk_attention_cpu", mutates_args=(), device_types="cpu")
def topk_attention_cpu(
    q: Tensor, k: Tensor, v: Tensor, topk: int, scale: float, num_prefix: int
) -> tuple[Tensor, Tensor]:
    """Output (B, H, N, D) and attention weights (B, H, N, N), zero where a key was not selected."""
    dtype = _computing(q.dtype)
    out, weights = _tokens_first(q), q.new_empty((*q.shape[:3], q.shape[2]), dtype=dtype)
    for chunk in _chunks(q):
        p = weights[chunk]
        torch.matmul(q[chunk].to(dtype) * scale, k[chunk].to(dtype).transpose(-2, -1), out=p)
        p[..., :num_prefix] = -torch.inf
        keep_topk_(p, topk)
        torch.softmax(p, dim=-1, out=p)
        out[chunk] = p @ v[chunk].to(dtype)
    return out, weights


@topk_attention_cpu.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, topk: int, scale: float, num_prefix: int) -> tuple[Tensor, Tensor]:
    return _tokens_first(q), q.new_empty((*q.shape[:3], q.shape[2]), dtype=_computing(q.dtype))


@torch.library.custom_op("mixedae::topk_attention_cpu_backward", mutates_args=(), device_types="cpu")
def topk_attention_cpu_backward(
    d_out: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v."""
    dtype = weights.dtype
    d_q, d_k, d_v = _tokens_first(q), _tokens_first(q), _tokens_first(q)
    for chunk in _chunks(q):
        p, d = weights[chunk], d_out[chunk].to(dtype)
        d_v[chunk] = p.transpose(-2, -1) @ d
        d_scores = d @ v[chunk].to(dtype).transpose(-2, -1)
        d_scores.sub_((d_scores * p).sum(dim=-1, keepdim=True)).mul_(p).mul_(scale)
        d_q[chunk] = d_scores @ k[chunk].to(dtype)
        d_k[chunk] = d_scores.transpose(-2, -1) @ q[chunk].to(dtype)
    return d_q, d_k, d_v


@topk_attention_cpu_backward.register_fake
def _(d_out: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    return _tokens_first(q), _tokens_first(q), _tokens_first(q)


def _setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    q, k, v, _, ctx.scale, _ = inputs
    ctx.save_for_backward(q, k, v, output[1])
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, d_out, _d_weights):  # type: ignore[no-untyped-def]
    return *topk_attention_cpu_backward(d_out, *ctx.saved_tensors, ctx.scale), None, None, None


topk_attention_cpu.register_autograd(_backward, setup_context=_setup_context)


@register_flop_formula(torch.ops.mixedae.topk_attention_cpu)
def _(q: torch.Size, *args: object, **kwargs: object) -> int:
    """Two matrix products, a multiplication and an addition each."""
    b, h, n, d = q
    return 2 * 2 * b * h * n * n * d


@register_flop_formula(torch.ops.mixedae.topk_attention_cpu_backward)
def _(d_out: torch.Size, *args: object, **kwargs: object) -> int:
    b, h, n, d = d_out
    return 4 * 2 * b * h * n * n * d
