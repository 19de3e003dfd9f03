"""The learning rate follows from the effective batch, or the run does not start.

mmengine scales the learning rate by processes x images only: with gradient accumulation it is too low by that factor,
and with ``auto_scale_lr`` switched off, as upstream's configs have it, one GPU trains with the learning rate for
sixty-four.

References:
    Linear scaling rule, arXiv 1706.02677; base learning rates for 256 images, MAE, arXiv 2111.06377, appendix A.1.
"""

import math
from dataclasses import dataclass
from typing import Any

from mmengine.hooks import CheckpointHook, Hook
from mmengine.optim import LinearParamScheduler, OptimWrapper
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mixedae.engine.console import NOTICE
from mixedae.engine.unwrapping import unwrapped
from mixedae.errors import ConfigError
from mixedae.registry import HOOKS

COUNTS = frozenset({"begin", "end", "T_max", "milestones"})
"""What mmengine's schedulers count in iterations or epochs."""


@dataclass(frozen=True)
class Batch:
    """How many images an optimizer step sees.

    Attributes:
        processes: world size.
        images: per process and iteration.
        accumulation: iterations per optimizer step.
    """

    processes: int
    images: int
    accumulation: int

    @property
    def effective(self) -> int:
        """Images per optimizer step."""
        return self.processes * self.images * self.accumulation

    def __str__(self) -> str:
        plural = "process" if self.processes == 1 else "processes"
        return (
            f"effective batch {self.effective} = {self.processes} {plural} x {self.images} images x "
            f"{self.accumulation} accumulation"
        )


def batch_of(runner: Runner) -> Batch:
    """The batch that a runner trains with.

    Args:
        runner: with its optimizer wrapper built.

    Returns:
        Its arithmetic.
    """
    loader = runner.train_dataloader
    images = loader.batch_size or loader.batch_sampler.batch_size  # mmdet's loaders have a batch sampler
    return Batch(runner.world_size, images, runner.optim_wrapper._accumulative_counts)


def peak_lr(optim_wrapper: OptimWrapper) -> float:
    """The learning rate of parameters with scale 1, before schedulers.

    Args:
        optim_wrapper: of one optimizer.

    Returns:
        The largest over all groups.
    """
    groups = optim_wrapper.optimizer.param_groups
    return max(group.get("initial_lr", group["lr"]) for group in groups)


@HOOKS.register_module()
class EffectiveBatchHook(Hook):
    """Makes the learning rate follow from the effective batch, prints the arithmetic, and refuses what contradicts it.

    With ``auto_scale_lr=dict(base_batch_size=B, enable=True)`` the optimizer's ``lr`` is for B images, and becomes
    lr x effective batch / B. By then mmengine has applied processes x images / B; the hook multiplies by the
    accumulation, and builds the schedulers again from that. Without ``enable``, the effective batch must be B.

    With ``accumulate=True`` in ``auto_scale_lr``, and no ``optim_wrapper.accumulative_counts``, gradients are
    accumulated until the batch is B, or as near as it gets: a recipe for 8 GPUs then takes the same steps on one.

    What a recipe counts in iterations are optimizer steps: with accumulation the length of the run, warm-up,
    milestones, validation and checkpoints are stretched by it. (Epochs need no such care.)

    It warns if BatchNorm normalises over fewer images than the recipe's B.
    """

    def __init__(self) -> None:
        self._applied = False  # mmengine calls before_run again for a test after training

    def before_run(self, runner: Runner) -> None:
        """Accumulate as asked for, bring it into the learning rate and into what is counted in iterations.

        Args:
            runner: after mmengine's ``scale_lr`` and before weights are loaded.
        """
        if not _trains(runner) or self._applied:
            return
        self._applied = True
        wrapper: OptimWrapper = runner.optim_wrapper
        if (runner.auto_scale_lr or {}).get("accumulate") and "accumulative_counts" not in runner.cfg.optim_wrapper:
            batch = batch_of(runner)
            base = runner.auto_scale_lr["base_batch_size"]
            wrapper._accumulative_counts = max(1, round(base / (batch.processes * batch.images)))
        batch = batch_of(runner)
        stretch_loop(runner, batch.accumulation)
        enabled = _is_enabled(runner)
        factors = [(group, batch.accumulation if enabled else 1) for group in wrapper.optimizer.param_groups]
        if enabled and wrapper.base_param_settings is not None:  # what mmengine logs as base_lr, and does not scale
            factors.append((wrapper.base_param_settings, batch.effective / runner.auto_scale_lr["base_batch_size"]))
        if batch.accumulation == 1 and all(factor == 1 for _, factor in factors):
            return
        for group, factor in factors:
            for key in [key for key in group if key.startswith("initial_")]:
                group[key.removeprefix("initial_")] = group.pop(key)  # undo the schedulers' first step
            group["lr"] *= factor
        if runner.param_schedulers is not None:
            schedulers = runner.cfg.get("param_scheduler")
            if schedulers is None:
                raise ConfigError(
                    "EffectiveBatchHook must build the schedulers anew and finds no param_scheduler in runner.cfg; "
                    "make the runner with Runner.from_cfg"
                )
            stretched = stretch_schedulers(schedulers, batch.accumulation)
            runner.param_schedulers = runner.build_param_scheduler(stretched)

    def before_train(self, runner: Runner) -> None:
        """Check and print; after a resume this is the checkpoint's learning rate.

        Args:
            runner: about to train.

        Raises:
            ConfigError: the optimizer's learning rate does not follow from the effective batch.
        """
        if not _trains(runner):
            return
        warn_of_endless_warmup(runner)
        batch, wrapper = batch_of(runner), runner.optim_wrapper
        lr, base = peak_lr(wrapper), (runner.auto_scale_lr or {}).get("base_batch_size")
        configured = _configured_lr(runner)
        if base is None or configured is None:
            runner.logger.info(f"{batch}; lr {_number(lr)} as configured", extra=NOTICE)
            return
        if not _is_enabled(runner) and batch.effective != base:
            raise ConfigError(
                f"{batch}, but lr {_number(configured)} is for a batch of {base} and auto_scale_lr.enable is off. Set "
                f"auto_scale_lr.enable=True (lr becomes {_number(configured * batch.effective / base)}), or "
                f"optim_wrapper.accumulative_counts={max(1, round(base / (batch.processes * batch.images)))}"
            )
        expected = configured * batch.effective / base
        off = [group for group in wrapper.optimizer.param_groups if not _follows(group, expected)]
        if off and (len(off) == len(wrapper.optimizer.param_groups) or all("lr_scale" in group for group in off)):
            raise ConfigError(
                f"{batch}: expected lr {_number(expected)} = {_number(configured)} x {batch.effective} / {base}, found "
                f"{_number(lr)} in the optimizer. A run must be resumed with the processes, batch and accumulation "
                "that it was started with; otherwise something else changed the learning rate"
            )
        runner.logger.info(
            f"{batch}; lr {_number(lr)} = {_number(configured)} x {batch.effective} / {base} "
            f"(base lr {_number(configured * 256 / base)} for 256 images)",
            extra=NOTICE,
        )
        if batch.accumulation > 1 and isinstance(runner.train_loop, IterBasedTrainLoop):
            runner.logger.info(
                f"{runner.max_iters // batch.accumulation} optimizer steps = {runner.max_iters} iterations / "
                f"{batch.accumulation} accumulation; warm-up, milestones, validation, checkpoints likewise",
                extra=NOTICE,
            )
        seen = batch_norm_images(runner.model, batch)
        if seen is not None and seen < base:
            runner.logger.warning(
                f"BatchNorm normalises over {seen} images per step; the recipe's batch is {base}: accumulation "
                "does not change that, expect a slightly different result"
            )


def stretch_loop(runner: Runner, factor: int) -> None:
    """Make a run that is counted in iterations ``factor`` times as long, with validation and checkpoints as often.

    Args:
        runner: with its train loop built.
        factor: iterations per optimizer step.
    """
    loop: Any = runner.train_loop
    if factor == 1 or not isinstance(loop, IterBasedTrainLoop):
        return
    loop._max_iters *= factor
    loop.val_begin = (loop.val_begin - 1) * factor + 1
    loop.val_interval *= factor
    loop.dynamic_milestones = [milestone * factor for milestone in loop.dynamic_milestones]
    loop.dynamic_intervals = [interval * factor for interval in loop.dynamic_intervals]
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and not hook.by_epoch:
            hook.interval *= factor


def stretch_schedulers(schedulers: Any, factor: int) -> list[dict]:
    """Stretch what schedulers count in iterations; what they count in epochs is left alone.

    Args:
        schedulers: a config's ``param_scheduler``.
        factor: iterations per optimizer step.

    Returns:
        The list, with ``begin``, ``end``, ``T_max`` and ``milestones`` multiplied.
    """
    stretched = []
    for scheduler in schedulers if isinstance(schedulers, list | tuple) else [schedulers]:
        new = dict(scheduler)
        if not new.get("by_epoch", True):
            for key in COUNTS & new.keys():
                value = new[key]
                new[key] = [v * factor for v in value] if isinstance(value, list | tuple) else value * factor
        stretched.append(new)
    return stretched


def warn_of_endless_warmup(runner: Runner) -> None:
    """Tell of a warm-up that is one step long: mmengine never leaves its first value.

    Args:
        runner: with its schedulers built.
    """
    schedulers = runner.param_schedulers
    for scheduler in schedulers if isinstance(schedulers, list) else ():
        if isinstance(scheduler, LinearParamScheduler) and scheduler.total_iters < 1 and scheduler.start_factor != 1:
            runner.logger.warning(
                "the warm-up is one step long, and mmengine's LinearLR never leaves its first value: the whole run "
                f"has lr x {_number(scheduler.start_factor)}. Make it two steps or more (param_scheduler.0.end)"
            )


def batch_norm_images(model: nn.Module, batch: Batch) -> int | None:
    """Over how many images BatchNorm layers normalise at least.

    Args:
        model: built, wrapped or not; outside distributed training SyncBN is BatchNorm by now.
        batch: the run's.

    Returns:
        None if there is no such layer.
    """
    layers = [m for m in unwrapped(model).modules() if isinstance(m, _BatchNorm)]
    if not layers:
        return None
    is_synced = all(isinstance(m, nn.SyncBatchNorm) for m in layers)
    return batch.images * (batch.processes if is_synced else 1)


def _trains(runner: Runner) -> bool:
    """Whether this is a training run; ``runner.val`` and ``runner.test`` call before_run too."""
    return isinstance(runner.optim_wrapper, OptimWrapper)


def _is_enabled(runner: Runner) -> bool:
    return bool((runner.auto_scale_lr or {}).get("enable", False))


def _configured_lr(runner: Runner) -> float | None:
    """The optimizer's lr as the config has it."""
    optimizer: Any = (runner.cfg.get("optim_wrapper") or {}).get("optimizer")
    return optimizer.get("lr") if isinstance(optimizer, dict) else None


def _follows(group: dict, expected: float) -> bool:
    lr = group.get("initial_lr", group["lr"])
    return math.isclose(lr, expected * group.get("lr_scale", 1.0), rel_tol=1e-6)


def _number(value: float) -> str:
    return f"{value:.4g}"
