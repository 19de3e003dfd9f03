"""Tells when training waits for pictures, and how many workers would do. It only watches."""

import math
import os
import time
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mixedae.engine.console import NOTICE
from mixedae.registry import HOOKS

WARM_UP = 20
"""Steps at the start of an epoch that do not count: workers start, caches fill."""


@HOOKS.register_module()
class WaitingHook(Hook):
    """Says once if more than a share of the time goes into waiting for the next batch.

    With workers, making a batch takes one of them as long as the run waits and computes together, times their number;
    as many workers as steps fit into that time keep up. Without workers the batch is made in the training process.

    Args:
        share: of a step's time that may be spent waiting.
        steps: that are looked at before it is said.
    """

    def __init__(self, share: float = 0.1, steps: int = 100) -> None:
        self.share, self.steps = share, steps
        self._in_epoch = self._counted = 0
        self._waited = self._worked = 0.0
        self._end = self._begin = None  # type: float | None
        self._told = False

    def before_train_epoch(self, runner: Runner) -> None:
        """Forget where the last step ended: between epochs workers may start anew.

        Args:
            runner: unused.
        """
        self._in_epoch, self._end = 0, None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """The batch is here.

        Args:
            runner: unused.
            batch_idx: unused.
            data_batch: unused.
        """
        self._begin = time.perf_counter()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Count the step, and tell when it is enough.

        Args:
            runner: the runner.
            batch_idx: unused.
            data_batch: unused.
            outputs: unused.
        """
        now = time.perf_counter()
        self._in_epoch += 1
        if self._begin is not None and self._end is not None and self._in_epoch > WARM_UP:
            self._waited += self._begin - self._end
            self._worked += now - self._begin
            self._counted += 1
        self._end = now
        if self._counted >= self.steps and not self._told and is_main_process():
            self._told = True
            loader = runner.train_dataloader
            text = advice(self._waited / self._counted, self._worked / self._counted, loader.num_workers, self.share)
            if text:
                runner.logger.warning(text, extra=NOTICE)


def advice(waited: float, worked: float, workers: int, share: float) -> str | None:
    """What to change, in a sentence; None if the waiting is within the share.

    Args:
        waited: seconds a step waits for its batch.
        worked: seconds of the step itself.
        workers: of the loader.
        share: of the step's time that may be spent waiting.
    """
    if waited <= share * (waited + worked):
        return None
    making = (waited + worked) * workers if workers else waited
    enough = max(workers + 1, math.ceil(making / worked)) if worked > 0 else workers + 1
    cores = os.cpu_count() or 1
    return (
        f"{100 * waited / (waited + worked):.0f} % of the time goes into waiting for pictures ({1000 * waited:.0f} of "
        f"{1000 * (waited + worked):.0f} ms a step, with {workers} workers); about {enough} would keep up: "
        f"--cfg-options train_dataloader.num_workers={enough} train_dataloader.persistent_workers=True"
        + (f" (this machine has {cores} cores)" if enough >= cores else "")
    )
