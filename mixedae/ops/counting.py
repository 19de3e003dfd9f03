"""What a computation costs: floating-point operations, and the bytes that autograd stores for the backward pass.

All attention is counted as PyTorch counts the fused kernels of a GPU: a multiplication and an addition are two
operations, the forward pass is two matrix products, the backward pass five, and TopK selection counts nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count


def attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *args: Any, **kwargs: Any) -> int:
    """Operations of the forward pass of one attention operator, from the shapes (B, H, N, D) of its arguments."""
    return int(sdpa_flop_count(query, key, value))


def attention_backward_flops(
    grad: torch.Size, query: torch.Size, key: torch.Size, value: torch.Size, *args: Any, **kwargs: Any
) -> int:
    """Operations of the backward pass likewise."""
    return int(sdpa_backward_flop_count(grad, query, key, value))


ATTENTION_ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward_flops,
}
"""PyTorch itself does not count its CPU's kernels. The operators of homologous attention register their own count."""


def flop_counter() -> FlopCounterMode:
    """A context that counts the operations of matrix products, convolutions and attention on any device."""
    return FlopCounterMode(display=False, custom_mapping=ATTENTION_ON_CPU)


@contextmanager
def stored_activations(model: nn.Module) -> Iterator[dict[int, tuple[Any, int]]]:
    """Collect the storages that autograd keeps for the backward pass, but for the model's own tensors.

    Args:
        model: whose parameters and buffers do not count.

    Yields:
        Key to (storage, bytes), each storage once. It keeps the storages alive: leave it before the backward pass.
    """
    own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, tuple[Any, int]] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = (storage, storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept
