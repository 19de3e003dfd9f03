"""What weights are known by: one hash over all of them, whatever file they came from."""

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


def fingerprint(source: nn.Module | Mapping[str, Tensor], names: Iterable[str] | None = None) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, whatever their order and device.

    Args:
        source: a module or a state dict.
        names: take these tensors only; default all.

    Returns:
        64 hexadecimal digits.
    """
    tensors = source.state_dict() if isinstance(source, nn.Module) else source
    digest = hashlib.sha256()
    for name in sorted(tensors if names is None else names):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
