"""What a finished run was and gave, in one JSON file: the harness reads results from here, never from logs."""

import resource
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner, find_latest_checkpoint

from mixedae.engine.hooks.effective_batch import batch_of, peak_lr
from mixedae.engine.unwrapping import unwrapped
from mixedae.files import write_json
from mixedae.records import RECORD, RunRecord
from mixedae.registry import HOOKS

WALL_TIME = "mixedae_wall_time_s"
"""Key in checkpoints: seconds of training before the checkpoint was written, so that a resumed run counts them all."""


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Writes ``<work_dir>/run_record.json`` when training has finished; an interrupted run has none.

    Its content is :class:`mixedae.records.RunRecord`.

    The hook comes after all others. A run that was interrupted between its last checkpoint and its last validation is
    validated when it is resumed, so that a record always describes the final weights.
    """

    priority = "LOWEST"

    def __init__(self) -> None:
        self._metrics: dict[str, Any] = {}
        self._validated_at: int | None = None
        self._started = 0.0
        self._before = 0.0

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take over the seconds that a resumed run has behind it.

        Args:
            runner: the runner.
            checkpoint: just read.
        """
        if runner._resume:
            self._before = float(checkpoint.get(WALL_TIME, 0.0))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store the seconds spent so far.

        Args:
            runner: the runner.
            checkpoint: about to be written.
        """
        checkpoint[WALL_TIME] = self._wall_time()

    def before_train(self, runner: Runner) -> None:
        """Start the clock.

        Args:
            runner: the runner.
        """
        self._started = time.monotonic()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the metrics.

        Args:
            runner: the runner.
            metrics: of this validation.
        """
        self._metrics, self._validated_at = dict(metrics or {}), runner.iter

    def after_train(self, runner: Runner) -> None:
        """Validate if the final weights were not, and write the record.

        Args:
            runner: the runner.
        """
        if runner.val_loop is not None and self._validated_at != runner.iter:
            runner.val_loop.run()
        if is_main_process():
            write_json(Path(runner.work_dir) / RECORD, self._record(runner).model_dump())

    def _wall_time(self) -> float:
        return round(self._before + (time.monotonic() - self._started if self._started else 0.0), 3)

    def _record(self, runner: Runner) -> RunRecord:
        batch = batch_of(runner)
        model = unwrapped(runner.model)
        report = getattr(getattr(model, "backbone", None), "load_report", None)
        checkpoint = find_latest_checkpoint(runner.work_dir)
        return RunRecord(
            status="finished",
            metrics=self._metrics,
            num_val_images=len(runner.val_dataloader.dataset) if runner.val_loop is not None else 0,
            iterations=runner.iter,
            epochs=_epochs(runner, batch.processes * batch.images),
            effective_batch=batch.effective,
            lr=peak_lr(runner.optim_wrapper),
            precision=precision(runner.optim_wrapper),
            world_size=batch.processes,
            accumulation=batch.accumulation,
            wall_time_s=self._wall_time(),
            peak_memory_mb=peak_memory_mb(),
            checkpoint=Path(checkpoint).name if checkpoint else None,
            load_report=None if report is None else report.summary(),
        )


def precision(optim_wrapper: OptimWrapper) -> str:
    """The arithmetic that training uses, from the built wrapper and not from the config.

    Args:
        optim_wrapper: OptimWrapper or AmpOptimWrapper.

    Returns:
        ``fp32``, ``amp-fp16`` or ``amp-bf16``.
    """
    if not hasattr(optim_wrapper, "loss_scaler"):
        return "fp32"
    dtype = optim_wrapper.cast_dtype or torch.get_autocast_dtype("cuda" if torch.cuda.is_available() else "cpu")
    return {torch.float16: "amp-fp16", torch.bfloat16: "amp-bf16"}.get(dtype, f"amp-{dtype}")


def peak_memory_mb() -> float:
    """Peak memory in MB (10^6 bytes): tensors on this process's GPU, or without a GPU all of the process."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 1e6, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)


def _epochs(runner: Runner, images_per_iteration: int) -> float:
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        return runner.epoch
    return round(runner.iter * images_per_iteration / len(runner.train_dataloader.dataset), 2)
