"""Homologous recognition, watched: TopK sampling accuracy of every layer (Fig. 6 of MixedAE, arXiv 2303.17152)."""

from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mixedae.engine.unwrapping import unwrapped
from mixedae.errors import ConfigError
from mixedae.models.recognition import chance_level, recognition_by_layer
from mixedae.models.vit import patch_size
from mixedae.ops import patchify, sample_sources
from mixedae.records import CHANCE_SCALAR, layer_scalar
from mixedae.registry import HOOKS


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
        model = unwrapped(runner.model)
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
        model = unwrapped(runner.model)
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
        model = unwrapped(runner.model)
        patches = patchify(self._images, patch_size(model.backbone))
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
