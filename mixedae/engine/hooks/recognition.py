"""Homologous recognition, watched: TopK sampling accuracy of every layer (Fig. 6 of MixedAE, arXiv 2303.17152)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from mixedae.errors import ConfigError
from mixedae.ops import patchify, recognition_accuracy, same_source, sample_sources, topk_mask
from mixedae.records import CHANCE_SCALAR, layer_scalar
from mixedae.registry import HOOKS


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


@HOOKS.register_module()
class RecognitionHook(Hook):
    """Logs the recognition accuracy of every layer after each epoch of MixedAE's pre-training (Fig. 6b while it grows).

    It looks at the first training batch that it meets, under one fixed draw of the mixing masks, so that epochs differ
    by the weights alone; a resumed run meets another batch. Only the main process computes, and nothing is
    communicated; random number generators, modes and statistics stay untouched: a run with the hook has the same
    weights, bit by bit, as one without.

    The mean over heads goes to the message hub (and so into checkpoints) and to the visualizer's scalars as
    ``recognition/layer_1`` ..., beside ``recognition/chance`` and ``epoch``, and into the log file.

    Args:
        num_images: how many images of the batch to look at; whole groups are taken.
    """

    def __init__(self, num_images: int = 64) -> None:
        self.num_images = num_images
        self._images: Tensor | None = None

    def before_train(self, runner: Runner) -> None:
        """Refuse what cannot be measured.

        Args:
            runner: the runner.

        Raises:
            ConfigError: the model does not mix, or fewer images are asked for than a group has.
        """
        model = _unwrapped(runner)
        if not hasattr(model, "encode_mixed"):
            raise ConfigError(
                f"RecognitionHook found a {type(model).__name__}; only MixedAE mixes images: take the hook out of "
                "custom_hooks"
            )
        if self.num_images < model.group_size:
            raise ConfigError(
                f"RecognitionHook: num_images={self.num_images} found; expected a group of {model.group_size} at least"
            )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Keep the first batch, on the model's device.

        Args:
            runner: the runner.
            batch_idx: index in the epoch.
            data_batch: as the loader gave it.
            outputs: unused.
        """
        if self._images is not None or not is_main_process():
            return
        model = _unwrapped(runner)
        first = {key: value[: self.num_images] for key, value in data_batch.items()}
        images = model.data_preprocessor(first, False)["inputs"]
        self._images = images[: len(images) // model.group_size * model.group_size]

    def after_train_epoch(self, runner: Runner) -> None:
        """Measure and log.

        Args:
            runner: the runner.
        """
        if self._images is None:
            return
        model = _unwrapped(runner)
        patches = patchify(self._images, model.backbone.patch_embed.projection.kernel_size[0])
        count, length = patches.shape[:2]
        draw = torch.Generator().manual_seed(0)  # of its own: training's numbers are left alone
        sources = sample_sources(
            count // model.group_size, length, model.group_size, model.mode, draw, shares=model.shares
        )
        accuracy = recognition_by_layer(model, patches, sources.to(patches.device)).mean(dim=1).tolist()
        chance = chance_level(sources)
        scalars = {layer_scalar(i): value for i, value in enumerate(accuracy, start=1)}
        for name, value in scalars.items():
            runner.message_hub.update_scalar(name, value)
        scalars |= {CHANCE_SCALAR: chance, "epoch": runner.epoch + 1}
        runner.visualizer.add_scalars(scalars, step=runner.iter)
        listed = " ".join(f"{value:.3f}" for value in accuracy)
        runner.logger.info(f"recognition accuracy after epoch {runner.epoch + 1}: {listed} (chance {chance:.3f})")


def _unwrapped(runner: Runner) -> Any:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
