"""The fused kernels as the operator ``mixedae::topk_attention``: torch.compile, FSDP and FLOP counters see through it.

With ``TRITON_INTERPRET=1`` the kernels run on CPU tensors, which is how they are tested without a GPU.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula
from triton import cdiv, next_power_of_2

from mixedae.ops.attention.triton import forward_kernel, key_gradient_kernel, query_gradient_kernel
from mixedae.ops.counting import attention_backward_flops, attention_flops

SHARED_BYTES = 2**17  # keys or values that a program holds at a time; an SM of an H200 has 227 KB


@dataclass(frozen=True)
class Tiling:
    """Block sizes; docs/performance.md lists the registers and spills that they compile to for an H200.

    The backward kernels compute scores with the forward kernel's matrix instruction (wgmma from 64 rows on, else
    m16n8k16). Another one might round a score differently; a key at the threshold would then be kept in one pass only.
    """

    block_d: int
    width: int  # channels that the forward kernel loads at a time
    block_m: int
    block_n: int
    warps: int  # of the forward kernel
    block_k: int
    gradient_block_m: int
    gradient_warps: int = 4

    @classmethod
    def of(cls, tokens: int, channels: int, itemsize: int) -> "Tiling":
        """Choose for N tokens, D channels per head and 2 or 4 bytes per number."""
        block_d, block_n = max(16, next_power_of_2(channels)), max(32, next_power_of_2(tokens))
        width = min(block_d, max(16, SHARED_BYTES // (block_n * itemsize)))
        if itemsize == 4:  # no tensor cores: they would round fp32 to 10 bits
            return cls(block_d, width, max(16, 8192 // block_n) if block_n > 256 else 32, block_n, 4, 32, 32)
        if block_n <= 256:  # 64 rows per program of 4 warps: Hopper's wgmma; up to 128 scores per thread
            return cls(block_d, width, 64, block_n, 4, 64 if block_d <= 64 else 32, 64)
        return cls(block_d, width, 16, block_n, block_n // 128, 64 if block_d <= 64 else 32, 32)  # mma.sync m16n8k16


def _strides(*tensors: Tensor) -> list[int]:
    return [s for x in tensors for s in x.stride()[:3]]


def _channels_contiguous(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _tokens_first(x: Tensor) -> Tensor:
    """Empty (B, H, N, D) whose heads lie side by side: joining them, as the output projection does, copies nothing."""
    b, h, n, d = x.shape
    return x.new_empty(b, n, h, d).transpose(1, 2)


def _outputs(q: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    threshold = q.new_empty(q.shape[:3], dtype=torch.float32)
    return _tokens_first(q), threshold, torch.empty_like(threshold, dtype=torch.int32), torch.empty_like(threshold)


@torch.library.custom_op("mixedae::topk_attention", mutates_args=())
def topk_attention(
    q: Tensor, k: Tensor, v: Tensor, topk: int, scale: float, num_prefix: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Output (B, H, N, D), and for each query (B, H, N): threshold, last kept tied key, log2 of the sum of exp."""
    q, k, v = _channels_contiguous(q), _channels_contiguous(k), _channels_contiguous(v)
    b, h, n, d = q.shape
    out, threshold, last, lse = _outputs(q)
    t = Tiling.of(n, d, q.element_size())
    forward_kernel[(cdiv(n, t.block_m) * b * h,)](
        q, k, v, out, threshold, last, lse, *_strides(q, k, v, out),
        h, n, topk, num_prefix, scale * math.log2(math.e),
        D=d, BLOCK_D=t.block_d, WIDTH=t.width, BLOCK_M=t.block_m, BLOCK_N=t.block_n, num_warps=t.warps,
    )  # fmt: skip
    return out, threshold, last, lse


@topk_attention.register_fake
def _(
    q: Tensor, k: Tensor, v: Tensor, topk: int, scale: float, num_prefix: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _outputs(q)


@torch.library.custom_op("mixedae::topk_attention_backward", mutates_args=())
def topk_attention_backward(
    d_out: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, threshold: Tensor, last: Tensor, lse: Tensor,
    scale: float, num_prefix: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of q, k and v."""
    d_out, q, k, v = (_channels_contiguous(x) for x in (d_out, q, k, v))
    b, h, n, d = q.shape
    d_q, d_k, d_v = _tokens_first(q), _tokens_first(q), _tokens_first(q)
    delta = torch.empty_like(lse)
    t = Tiling.of(n, d, q.element_size())
    shared = (h, n, num_prefix, scale, scale * math.log2(math.e))
    blocks = dict(D=d, BLOCK_D=t.block_d, BLOCK_M=t.gradient_block_m, num_warps=t.gradient_warps)
    query_gradient_kernel[(cdiv(n, t.gradient_block_m) * b * h,)](
        q, k, v, out, d_out, d_q, threshold, last, lse, delta, *_strides(q, k, v, out, d_out, d_q), *shared,
        BLOCK_K=t.block_k, **blocks,
    )  # fmt: skip
    key_gradient_kernel[(cdiv(n, t.block_k) * b * h,)](
        q, k, v, d_out, d_k, d_v, threshold, last, lse, delta, *_strides(q, k, v, d_out, d_k), *shared,
        BLOCK_K=t.block_k, **blocks,
    )  # fmt: skip
    return d_q, d_k, d_v


@topk_attention_backward.register_fake
def _(
    d_out: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, threshold: Tensor, last: Tensor, lse: Tensor,
    scale: float, num_prefix: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return _tokens_first(q), _tokens_first(q), _tokens_first(q)


def _setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    q, k, v, _, ctx.scale, ctx.num_prefix = inputs
    ctx.save_for_backward(q, k, v, *output)
    ctx.mark_non_differentiable(*output[1:])


def _backward(ctx, d_out, *_unused):  # type: ignore[no-untyped-def]
    gradients = topk_attention_backward(d_out, *ctx.saved_tensors, ctx.scale, ctx.num_prefix)
    return *gradients, None, None, None


topk_attention.register_autograd(_backward, setup_context=_setup_context)


def fused_attention(q: Tensor, k: Tensor, v: Tensor, topk: int, scale: float, num_prefix: int) -> Tensor:
    """Call the operator; arguments as in ``homologous_attention``, with 1 <= K < N - num_prefix and equal dtypes."""
    return topk_attention(q, k, v, topk, scale, num_prefix)[0]


register_flop_formula(torch.ops.mixedae.topk_attention)(attention_flops)
register_flop_formula(torch.ops.mixedae.topk_attention_backward)(attention_backward_flops)
