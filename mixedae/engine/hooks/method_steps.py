"""Hooks of methods that change while they train: a teacher that follows, and a weight decay that rises."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mixedae.engine.unwrapping import unwrapped
from mixedae.ops.self_distillation import cosine
from mixedae.registry import HOOKS


def step_of(runner: Runner, batch_idx: int) -> tuple[int, int, bool]:
    """Where a run is, in optimizer steps: those done before this iteration's, those of the run, and whether one ends.

    Args:
        runner: in training.
        batch_idx: of mmengine; unused, since a resumed run begins in mid-epoch.
    """
    count = getattr(runner.optim_wrapper, "_accumulative_counts", 1)
    return runner.iter // count, -(-runner.max_iters // count), (runner.iter + 1) % count == 0


@HOOKS.register_module()
class MethodStepsHook(Hook):
    """Tells a method that a step begins, and that it is done: ``model.before_step``, ``model.after_step``.

    Gradients of the parameters in ``model.not_trained()`` are left out of the step (``mixedae.EachClip...``). It comes
    before checkpoints are written, so that these hold the teacher of their step.
    """

    priority = "NORMAL"

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Tell the place.

        Args:
            runner: the runner.
            batch_idx: of mmengine.
            data_batch: unused.
        """
        model: Any = unwrapped(runner.model)
        step, steps, _ = step_of(runner, batch_idx)
        model.before_step(step, steps, runner.epoch)
        runner.optim_wrapper.left_out = tuple(model.not_trained())

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Let the method follow, after a step of the optimizer.

        Args:
            runner: the runner.
            batch_idx: of mmengine.
            data_batch: unused.
            outputs: unused.
        """
        step, steps, ends = step_of(runner, batch_idx)
        if ends:
            unwrapped(runner.model).after_step(step, steps)


@HOOKS.register_module()
class WeightDecayHook(Hook):
    """A weight decay that moves along half a cosine, in the groups that have one (DINO, arXiv 2104.14294, appendix).

    Args:
        start: at the first step; the optimizer's own.
        end: towards the last.
    """

    def __init__(self, start: float = 0.04, end: float = 0.4) -> None:
        self.start, self.end = start, end

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set it.

        Args:
            runner: the runner.
            batch_idx: of mmengine.
            data_batch: unused.
        """
        step, steps, _ = step_of(runner, batch_idx)
        for group in runner.optim_wrapper.optimizer.param_groups:
            if group["weight_decay"]:
                group["weight_decay"] = cosine(self.start, self.end, step, steps)
