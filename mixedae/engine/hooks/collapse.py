"""Warns when a pre-training collapses: all pictures get the same features. It only watches."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mixedae.engine.unwrapping import unwrapped
from mixedae.models.recognition import evaluating
from mixedae.ops.self_distillation import effective_rank
from mixedae.registry import HOOKS

LEAST_RANK, LEAST_SPREAD, MOST_ENTROPY = 2.0, 0.05, 0.995
"""An effective rank below the first is a collapse: one direction holds nearly all of the features. So is a mean of the
teacher's distributions with less than the second of the largest entropy, and a mean entropy above the third."""


@HOOKS.register_module()
class CollapseHook(Hook):
    """Logs RankMe of the encoder that is handed on (arXiv 2210.02885), on pictures of the training batch.

    Args:
        interval: iterations between two looks. Each is a forward pass of ``pictures`` pictures.
        pictures: of the first view; at most a batch.
    """

    def __init__(self, interval: int = 50, pictures: int = 64) -> None:
        self.interval, self.pictures = interval, pictures
        self._told = False

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Look, every ``interval`` iterations.

        Args:
            runner: the runner.
            batch_idx: of mmengine; unused.
            data_batch: of the step.
            outputs: unused.
        """
        if (runner.iter + 1) % self.interval:
            return
        rank = rank_of(unwrapped(runner.model), data_batch, self.pictures)
        runner.message_hub.update_scalar("train/rankme", rank)
        signs = signs_of(rank, outputs or {})
        if signs and not self._told:
            self._told = True
            runner.logger.warning(
                f"iteration {runner.iter + 1}: the run has collapsed: {'; '.join(signs)}. Look at the temperatures, "
                "the centring and the learning rate",
                extra={"notice": True},
            )


def signs_of(rank: float, outputs: Mapping[str, Any]) -> list[str]:
    """What tells of a collapse, in words.

    Args:
        rank: RankMe.
        outputs: of the step; ``teacher_spread`` and ``teacher_entropy`` (see :class:`mixedae.methods.DINO`) are read.
    """
    spread, alike = outputs.get("teacher_spread"), outputs.get("teacher_entropy")
    signs = []
    if rank < LEAST_RANK:
        signs.append(f"the features have the effective rank {rank:.2f}: nearly all pictures look alike to the encoder")
    if spread is not None and float(spread) < LEAST_SPREAD:
        signs.append(f"one prototype for nearly all pictures (teacher_spread {float(spread):.3f} of 1)")
    if alike is not None and float(alike) > MOST_ENTROPY:
        signs.append(f"all prototypes alike for each picture (teacher_entropy {float(alike):.3f} of 1)")
    return signs


@torch.no_grad()
def rank_of(model: Any, data_batch: Any, pictures: int) -> float:
    """RankMe of mean patch tokens, or of [CLS] where the encoder gives only that; about their mean.

    Args:
        model: a method, with ``backbone`` and ``data_preprocessor``.
        data_batch: of the loader.
        pictures: how many at most.
    """
    inputs = model.data_preprocessor(data_batch, False)["inputs"]
    first: Tensor = inputs if isinstance(inputs, Tensor) else inputs[0]
    with evaluating(model.backbone):
        found = model.backbone(first[:pictures])[-1]
    if found.ndim == 4:
        features = found.flatten(2).mean(dim=2)
    else:
        features = found[:, model.backbone.num_extra_tokens :].mean(dim=1) if found.ndim == 3 else found
    return effective_rank(features - features.mean(dim=0))
