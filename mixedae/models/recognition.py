"""Homologous recognition, measured: TopK sampling accuracy of every layer (section 4.5 of MixedAE, arXiv 2303.17152).

Also what other measurements on a model need: running it without a trace, and the queries and keys of its layers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixedae.ops import recognition_accuracy, same_source, topk_mask


@contextmanager
def queries_and_keys(layers: Sequence[Any]) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Note the queries and keys of ViT layers while they run; the model itself is not changed.

    Args:
        layers: of mmpretrain's VisionTransformer or this project's encoders.

    Yields:
        A list that grows by one pair of tensors (B, H, N, D) whenever one of the layers runs.
    """
    noted: list[tuple[Tensor, Tensor]] = []

    def note_of(attn: Any) -> Any:
        def note(module: nn.Module, inputs: tuple[Tensor, ...], qkv: Tensor) -> None:
            q, k, _ = qkv.unflatten(-1, (3, attn.num_heads, attn.head_dims)).permute(2, 0, 3, 1, 4).unbind(0)
            noted.append((q, k))

        return note

    handles = [layer.attn.qkv.register_forward_hook(note_of(layer.attn)) for layer in layers]
    try:
        yield noted
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """No gradients, evaluation mode; afterwards every submodule is in the mode in which it was.

    Args:
        module: whatever will be run.
    """
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def recognition_by_layer(model: Any, patches: Tensor, sources: Tensor) -> Tensor:
    """TopK sampling accuracy of every layer on given mixtures, section 4.5.

    Layers with plain attention are measured too, by the K keys that Eq. (6) would keep there; under oracle attention
    the K keys are chosen among those that the oracle allows, so the accuracy is 1.

    Args:
        model: a ``mixedae.MixedAE``; its modes and weights stay as they are.
        patches: (B, L, P*P*C).
        sources: int64 (M, L).

    Returns:
        (layers, H), shares in 0..1.
    """
    encoder = model.backbone
    prefix = encoder.num_extra_tokens
    with evaluating(model), queries_and_keys(encoder.layers) as noted:
        model.encode_mixed(patches, sources)
        allowed = None
        if encoder.attention == "oracle":
            allowed = F.pad(same_source(sources), (prefix, 0, prefix, 0), value=True)[:, None]
        masks = (topk_mask(q, k, encoder.topk, None, 0 if encoder.cls_in_pool else prefix, allowed) for q, k in noted)
        return torch.stack([recognition_accuracy(mask, sources) for mask in masks])


def chance_level(sources: Tensor) -> float:
    """Accuracy of keys drawn at random: (rL-1)/(L-1), averaged over queries where the shares r differ.

    Args:
        sources: int64 (M, L).
    """
    homologous = same_source(sources).sum(dim=-1) - 1
    return float(homologous.double().mean()) / (sources.shape[1] - 1)
