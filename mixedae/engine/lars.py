"""LARS as official MAE's linear probing has it."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from mixedae.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class LARS(Optimizer):
    r"""Layer-wise adaptive rate scaling (You et al. 2017, arXiv 1708.03888), in the form of MAE's linear probing.

    For a tensor p of two or more dimensions with gradient g, weight decay w, momentum m, rate lr and coefficient c:

        u = g + w p,   u <- c ||p|| / ||u|| u,   b <- m b + u,   p <- p - lr b

    Tensors of at most one dimension have u = g: neither weight decay nor scaling. If a norm is 0, nothing is scaled.
    The rate multiplies the buffer b. mmpretrain's LARS keeps the rate inside of it, so that under a schedule a step
    still has the rates of the steps before: in a warm-up it lags behind.

    Args:
        params: parameters or groups.
        lr: learning rate, positive or 0.
        momentum: in [0, 1).
        weight_decay: w.
        trust_coefficient: c.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
    ) -> None:
        defaults = dict(lr=lr, momentum=momentum, weight_decay=weight_decay, trust_coefficient=trust_coefficient)
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step.

        Args:
            closure: computes the loss anew; as PyTorch's optimizers have it.

        Returns:
            The closure's loss, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                update = _scaled(p, group) if p.ndim > 1 else p.grad
                state = self.state[p]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(p)
                buffer = state["momentum_buffer"].mul_(group["momentum"]).add_(update)
                p.add_(buffer, alpha=-group["lr"])
        return loss


def _scaled(p: Tensor, group: dict[str, Any]) -> Tensor:
    """The update of a tensor of two or more dimensions. No device is waited for."""
    update = p.grad.add(p, alpha=group["weight_decay"])  # type: ignore[union-attr]
    ours, its = p.norm(), update.norm()
    ratio = torch.where((ours > 0) & (its > 0), group["trust_coefficient"] * ours / its, torch.ones_like(ours))
    return update * ratio
