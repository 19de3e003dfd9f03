"""How far a run is: a small JSON file for other programs, one line with the time left for people."""

import sys
import time
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor

from mixedae.engine.console import NOTICE
from mixedae.files import write_json
from mixedae.records import PROGRESS, Progress
from mixedae.registry import HOOKS
from mixedae.wording import duration


@HOOKS.register_module()
class ProgressHook(Hook):
    """Writes ``<work_dir>/progress.json`` while training, and keeps one line on the terminal up to date.

    Its content is :class:`mixedae.records.Progress`. The file is replaced in one step.

    Args:
        interval: seconds between two writes at least.
    """

    priority = "LOW"

    def __init__(self, interval: float = 1.0) -> None:
        self.interval = interval
        self._state: Progress | None = None
        self._loss: Tensor | float | None = None
        self._started = self._written = 0.0
        self._first_iter = 0
        self._line_open = False

    def before_train(self, runner: Runner) -> None:
        """Start the clock.

        Args:
            runner: the runner.
        """
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        self._state = Progress(
            epoch=runner.epoch if by_epoch else None,
            max_epochs=runner.max_epochs if by_epoch else None,
            iter=runner.iter,
            max_iters=runner.max_iters,
        )
        self._write(runner)
        self._started, self._written, self._first_iter = time.monotonic(), -self.interval, runner.iter

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Note what this iteration gave.

        Args:
            runner: the runner.
            batch_idx: index in the epoch.
            data_batch: unused.
            outputs: of ``train_step``.
        """
        loss = (outputs or {}).get("loss")
        self._loss = loss.detach() if isinstance(loss, Tensor) else loss
        if time.monotonic() - self._written >= self.interval:
            self._update(runner, iteration=runner.iter + 1, epoch=runner.epoch + 1)
            self._write(runner)

    def before_val(self, runner: Runner) -> None:
        """Tell that validation begins.

        Args:
            runner: the runner.
        """
        if self._state is not None:
            self._update(runner, runner.iter, runner.epoch)
            self._state.phase = "val"
            self._write(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the metrics, and put them on the console.

        Args:
            runner: the runner.
            metrics: of this validation.
        """
        if self._state is None:
            return
        self._state.phase, self._state.metrics = "train", dict(metrics or {})
        self._write(runner)
        self._end_line()
        at = f"epoch {runner.epoch}" if self._state.max_epochs is not None else f"iteration {runner.iter}"
        listed = ", ".join(f"{k} {v:.4g}" for k, v in (metrics or {}).items() if isinstance(v, Real))
        runner.logger.info(f"validation after {at}: {listed or 'no metrics'}", extra=NOTICE)

    def after_train(self, runner: Runner) -> None:
        """Leave the final state behind.

        Args:
            runner: the runner.
        """
        self._update(runner, runner.iter, runner.epoch)
        self._write(runner)
        self._end_line()

    def _update(self, runner: Runner, iteration: int, epoch: int) -> None:
        """Bring the state up to date; reading the loss waits for the GPU, so this is not done at every iteration."""
        state = self._state
        if state is None:  # a validation or test without a training
            return
        done = iteration - self._first_iter
        spent = time.monotonic() - self._started
        state.phase, state.iter = "train", iteration
        state.lr = max(group["lr"] for group in runner.optim_wrapper.optimizer.param_groups)
        state.eta_s = round(spent / done * (runner.max_iters - iteration), 1) if done else None
        if state.max_epochs is not None:
            state.epoch = epoch
        if self._loss is not None:
            state.loss = float(self._loss)

    def _write(self, runner: Runner) -> None:
        if self._state is None or not is_main_process():
            return
        self._written = time.monotonic()
        write_json(Path(runner.work_dir) / PROGRESS, self._state.model_dump())
        if sys.stdout.isatty():
            sys.stdout.write(f"\r\033[K{progress_line(self._state)}")
            sys.stdout.flush()
            self._line_open = True

    def _end_line(self) -> None:
        if self._line_open:
            sys.stdout.write("\n")
            self._line_open = False


def progress_line(state: Progress) -> str:
    """One readable line.

    Args:
        state: how far the run is.

    Returns:
        Such as ``train  epoch 3/25  iter 120/2200  loss 0.512  lr 0.001  4m10s left``.
    """
    parts: list[str] = [state.phase]
    if state.max_epochs is not None:
        parts.append(f"epoch {state.epoch}/{state.max_epochs}")
    parts.append(f"iter {state.iter}/{state.max_iters}")
    parts += [f"{name} {value:.4g}" for name, value in (("loss", state.loss), ("lr", state.lr)) if value is not None]
    if state.eta_s is not None:
        parts.append(f"{duration(state.eta_s)} left")
    return "  ".join(parts)
