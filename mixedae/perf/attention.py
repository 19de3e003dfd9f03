"""Homologous attention against plain attention of PyTorch, forward and backward, over N, K, heads, D and dtype."""

from collections.abc import Callable, Iterator
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from mixedae.ops import homologous_attention, homologous_attention_reference, topk_mask
from mixedae.perf.report import Row
from mixedae.perf.timing import interleave


def masked(q: Tensor, k: Tensor, v: Tensor, topk: int) -> Tensor:
    """The fallback: PyTorch's attention with a mask from torch.topk."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=topk_mask(q, k, topk))


def measure_attention(
    device: torch.device,
    samples: int,
    tokens: list[int],
    heads: list[int],
    channels: list[int],
    ratios: list[float],
    dtypes: list[torch.dtype],
    rounds: int,
) -> Iterator[Row]:
    """Time forward and backward of each way of running Eq. (6), plain attention first.

    Args:
        device: where to run.
        samples: B.
        tokens: every N.
        heads: every H.
        channels: every D.
        ratios: every K / N.
        dtypes: of the inputs.
        rounds: see :func:`~mixedae.perf.timing.interleave`.

    Yields:
        Rows; ``peak_mb`` is the memory that a call takes beyond its inputs (on a GPU).
    """
    for dtype, h, n, d, ratio in product(dtypes, heads, tokens, channels, ratios):
        topk = max(1, round(ratio * n))
        packed = torch.randn(samples, n, 3, h, d, device=device, dtype=dtype, requires_grad=True)
        weight = torch.randn(samples, n, h * d, device=device, dtype=dtype)

        def call(attention: Callable[..., Tensor], *args: int) -> None:
            packed.grad = None  # noqa: B023  # called within this turn of the loop
            q, k, v = packed.permute(2, 0, 3, 1, 4).unbind(0)  # noqa: B023
            attention(q, k, v, *args).transpose(1, 2).flatten(2).backward(weight)  # noqa: B023

        candidates: dict[str, Callable[[], None]] = {
            "sdpa": lambda: call(F.scaled_dot_product_attention),
            "homologous": lambda k=topk: call(homologous_attention, k),  # type: ignore[misc]
            "mask + sdpa": lambda k=topk: call(masked, k),  # type: ignore[misc]
            "reference": lambda k=topk: call(homologous_attention_reference, k),  # type: ignore[misc]
        }
        case = f"B {samples} H {h} N {n} D {d} K {topk} {str(dtype).removeprefix('torch.')}"
        rows = interleave(candidates, device, rounds, warmup=2, case=case)
        for row in rows:
            if device.type == "cuda":
                row.extra["peak_mb"] = peak_mb(candidates[row.name], device)
            yield row


def peak_mb(call: Callable[[], None], device: torch.device) -> float:
    """MB that a call allocates at its peak beyond what was allocated before it."""
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20
