"""Stops a run whose loss is no longer a number; mmengine goes on to the end and saves the ruins.

References:
    facebookresearch/mae ``engine_pretrain.py`` (checks every step and exits); torchtitan (verdict on all processes).
"""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import all_reduce, get_rank
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor

from mixedae.engine.unwrapping import unwrapped
from mixedae.errors import NonFiniteLossError
from mixedae.registry import HOOKS

ADVICE = (
    "Resume from the last good one with a lower learning rate, optim_wrapper.clip_grad, or bfloat16 "
    "(optim_wrapper.dtype='bfloat16') in place of float16"
)


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Ends the run with :class:`NonFiniteLossError` in the iteration in which any loss component is NaN or infinite.

    All processes agree on the verdict, so that none waits for another. The hook comes before the one that saves
    checkpoints: nothing is saved after a bad step, and weights that are not finite are never saved.

    Mixed precision hides a diverged model: the gradient scaler skips each step and halves its scale, the run looks
    healthy and learns nothing. ``max_skipped_steps`` skipped in a row, or a scale below 1, end the run too. A fixed
    ``loss_scale`` tells nothing about skipped steps and is not watched.

    Args:
        max_skipped_steps: how many skipped steps in a row are a failure; a scaler that still looks for its scale skips
            up to 16 (65536 to 1).
    """

    priority = "HIGH"

    def __init__(self, max_skipped_steps: int = 20) -> None:
        self.max_skipped_steps = max_skipped_steps
        self._skipped = 0
        self._scale: float | None = None

    def before_train(self, runner: Runner) -> None:
        """Note the gradient scaler's first scale.

        Args:
            runner: the runner.
        """
        self._skipped = 0
        scaler = _dynamic_scaler(runner.optim_wrapper)
        self._scale = None if scaler is None else float(scaler.get_scale())

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Check this iteration's losses, and the gradient scaler if there is one.

        Args:
            runner: the runner.
            batch_idx: index in the epoch.
            data_batch: unused.
            outputs: what ``train_step`` returned: every loss component, their sum ``loss``, and metrics.

        Raises:
            NonFiniteLossError: see the class.
        """
        values = {name: value for name, value in (outputs or {}).items() if isinstance(value, Tensor | float | int)}
        trouble = self._scaler_trouble(runner.optim_wrapper)
        is_finite = all_finite(values)
        verdict = torch.tensor(float(not is_finite or trouble is not None))
        all_reduce(verdict, "max")
        if not verdict:
            return
        listed = ", ".join(
            f"{name}={float(torch.as_tensor(v).detach().float().mean()):g}" for name, v in values.items()
        )
        where = f"iteration {runner.iter + 1} (epoch {runner.epoch + 1}), process {get_rank()}"
        if trouble:
            cause = f"{trouble} at {where}"
        elif is_finite:
            cause = f"another process found a loss that is not finite, at {where}"
        else:
            cause = f"a loss is not finite at {where}"
        raise NonFiniteLossError(f"{cause}: {listed}. No checkpoint was saved after this step. {ADVICE}")

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to save weights that are not finite: a gradient can be infinite under a finite loss.

        Args:
            runner: the runner.
            checkpoint: about to be written.

        Raises:
            NonFiniteLossError: a parameter is NaN or infinite.
        """
        model = unwrapped(runner.model)
        state_dict = checkpoint["state_dict"]
        bad = [name for name, _ in model.named_parameters() if not torch.isfinite(state_dict[name]).all()]
        if bad:
            raise NonFiniteLossError(
                f"{len(bad)} parameters are not finite after iteration {runner.iter + 1} (epoch {runner.epoch + 1}): "
                f"{', '.join(bad[:5])}. The checkpoint was not saved. {ADVICE}"
            )

    def _scaler_trouble(self, optim_wrapper: OptimWrapper) -> str | None:
        """What is wrong with the gradient scaler, if anything: a scale that fell tells of a skipped step."""
        scaler = _dynamic_scaler(optim_wrapper)
        if scaler is None or not optim_wrapper.should_update():
            return None
        scale = float(scaler.get_scale())
        has_fallen = self._scale is not None and scale < self._scale
        self._skipped = self._skipped + 1 if has_fallen else 0
        self._scale = scale
        if self._skipped >= self.max_skipped_steps:
            return f"the gradient scaler skipped {self._skipped} steps in a row (scale {scale:g})"
        if scale < 1:
            return f"the gradient scaler's scale fell to {scale:g}, below 1"
        return None


def _dynamic_scaler(optim_wrapper: Any) -> Any:
    """The gradient scaler, if there is one that adapts its scale."""
    scaler = getattr(optim_wrapper, "loss_scaler", None)
    is_dynamic = scaler is not None and scaler.is_enabled() and optim_wrapper._scale_update_param is None
    return scaler if is_dynamic else None


def all_finite(values: Mapping[str, Tensor | float | int]) -> bool:
    """Whether every number is finite.

    Args:
        values: scalars or tensors of any shape, all on one device.

    Returns:
        False if any is NaN or infinite.
    """
    tensors = [torch.as_tensor(value) for value in values.values()]
    device = next((t.device for t in tensors if t.device.type != "cpu"), torch.device("cpu"))
    flat = [t.detach().flatten().to(device, torch.float64 if device.type == "cpu" else torch.float32) for t in tensors]
    return not flat or bool(torch.isfinite(torch.cat(flat)).all())
