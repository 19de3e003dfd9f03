"""Optimizer wrappers that clip each parameter's gradient by its own norm, and leave some gradients out of a step.

References:
    facebookresearch/dino ``utils.py`` (clip_gradients, cancel_gradients_last_layer).
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from mixedae.errors import ConfigError
from mixedae.registry import OPTIM_WRAPPERS


def clip_each(parameters: Sequence[nn.Parameter], max_norm: float) -> float:
    """Scale each gradient whose norm is above ``max_norm`` down to it.

    Args:
        parameters: with gradients or without.
        max_norm: of one parameter's gradient.

    Returns:
        The norm of all gradients together, before.
    """
    norms = []
    for parameter in parameters:
        if parameter.grad is not None:
            norms.append(norm := parameter.grad.norm())
            parameter.grad.mul_((max_norm / (norm + 1e-6)).clamp(max=1.0))
    return float(torch.stack(norms).norm()) if norms else 0.0


class _EachClip:
    """What both wrappers share."""

    left_out: tuple[nn.Parameter, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "max_norm" not in (getattr(self, "clip_grad_kwargs", None) or {}):
            raise ConfigError("clip_grad=dict(max_norm=...) is missing: this wrapper clips each parameter's gradient")

    def _clip_grad(self) -> None:
        for parameter in self.left_out:
            parameter.grad = None
        this: Any = self
        parameters = [p for group in this.optimizer.param_groups for p in group["params"]]
        this.message_hub.update_scalar("train/grad_norm", clip_each(parameters, this.clip_grad_kwargs["max_norm"]))


@OPTIM_WRAPPERS.register_module()
class EachClipOptimWrapper(_EachClip, OptimWrapper):
    """mmengine's OptimWrapper, clipping each parameter.

    Args:
        clip_grad: ``dict(max_norm=...)``.
    """


@OPTIM_WRAPPERS.register_module()
class EachClipAmpOptimWrapper(_EachClip, AmpOptimWrapper):
    """The same in mixed precision.

    Args:
        clip_grad: ``dict(max_norm=...)``.
    """
