"""Two steps of a recipe, two batches of its validation, and what they tell of the whole run; nothing is saved."""

import contextlib
import io
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner, ValLoop

from mixedae.engine.hooks.effective_batch import batch_of, peak_lr
from mixedae.engine.hooks.run_record import peak_memory_mb, precision
from mixedae.engine.unwrapping import unwrapped
from mixedae.errors import ConfigError
from mixedae.files import write_json
from mixedae.wording import duration

ITERATIONS = 2


class _Enough(Exception):
    """No error: the way out of mmengine's loop."""


class _StopHook(Hook):
    """Notes loss and time of each iteration, and leaves after the last one wanted."""

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self._began = 0.0

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self._began = time.perf_counter()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.losses.append(float(outputs["loss"].detach()))
        self.seconds.append(time.perf_counter() - self._began)
        if len(self.losses) == ITERATIONS:
            raise _Enough


def dry_run(runner: Runner) -> dict[str, Any]:
    """Train for two iterations through the runner's own path: weights, batch and learning rate are the real run's.

    Two batches are validated and measured, so that an evaluator which cannot run is found now.

    Args:
        runner: built from the whole config, not yet trained.

    Returns:
        What :func:`describe` puts into words; also written to ``<work_dir>/dry_run.json``. ``estimated_s`` is the
        second iteration's time times the number of iterations, without validation.
    """
    hook = _StopHook()
    runner.register_hook(hook)
    runner._hooks = [each for each in runner._hooks if not isinstance(each, CheckpointHook)]  # an epoch may end first
    runner.saves = False  # type: ignore[attr-defined]  # mixedae.StrictRunner's
    with contextlib.suppress(_Enough):
        runner.train()
    validated = validate_some(runner)
    batch = batch_of(runner)
    model: Any = unwrapped(runner.model)
    parameters = list(model.parameters())
    load = getattr(getattr(model, "backbone", None), "load_report", None)
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    facts = {
        "config": str(Path(runner.work_dir) / Path(runner.cfg.filename or "config.py").name),
        "model": type(model).__name__,
        "parameters": sum(p.numel() for p in parameters),
        "trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "pictures": {
            "train": len(runner.train_dataloader.dataset),
            "val": len(runner.val_dataloader.dataset) if runner.val_loop is not None else 0,
        },
        "batch": str(batch),
        "effective_batch": batch.effective,
        "lr": peak_lr(runner.optim_wrapper),
        "precision": precision(runner.optim_wrapper),
        "epochs": runner.max_epochs if by_epoch else None,
        "iterations": runner.max_iters,
        "optimizer_steps": -(-runner.max_iters // batch.accumulation),
        "load_report": None if load is None else load.summary(),
        "load_from": runner._load_from,
        "losses": hook.losses,
        "validated": validated,
        "step_s": hook.seconds,
        "peak_memory_mb": peak_memory_mb(),
        "estimated_s": hook.seconds[-1] * runner.max_iters,
    }
    write_json(Path(runner.work_dir) / "dry_run.json", facts)
    return facts


def validate_some(runner: Runner) -> int:
    """Predict and measure the first batches of the validation, without their numbers, which mean nothing.

    Args:
        runner: that trained for some steps.

    Returns:
        How many pictures were looked at; 0 for a run that validates nothing.

    Raises:
        ConfigError: the evaluator fails on them.
    """
    loop: Any = runner.val_loop
    if not isinstance(loop, ValLoop):  # none, or an evaluation of frozen features that needs all pictures
        return 0
    runner.model.eval()
    pictures = 0
    with torch.no_grad():
        for batch in islice(loop.dataloader, ITERATIONS):
            found = runner.model.val_step(batch)
            loop.evaluator.process(data_samples=found, data_batch=batch)
            pictures += len(found)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            loop.evaluator.evaluate(pictures)
    except Exception as error:
        raise ConfigError(
            f"val_evaluator fails on the first {pictures} pictures ({type(error).__name__}: {error}); nothing would be "
            "measured after training. Check val_evaluator and what val_dataloader packs"
        ) from error
    return pictures


def describe(facts: dict[str, Any]) -> str:
    """The result of :func:`dry_run`, for people.

    Args:
        facts: what it returned.

    Returns:
        One fact a line.
    """
    weights = facts["load_report"]
    length = f"{facts['epochs']} epochs, " if facts["epochs"] else ""
    rows = {
        "resolved recipe": facts["config"],
        "model": f"{facts['model']}, {facts['parameters'] / 1e6:.2f} M parameters, "
        f"{facts['trainable'] / 1e6:.2f} M of them learn",
        "weights": (
            f"a whole model from {facts['load_from']}"
            if facts["load_from"]
            else "none loaded"
            if weights is None
            else f"{weights['path']} ({weights['format']}): {weights['matched']} matched, {len(weights['resized'])} "
            f"resized, {len(weights['allowed_missing'])} new, {sum(weights['dropped'].values())} not backbone, "
            f"fingerprint {weights['checkpoint_fingerprint'][:12]}"
        ),
        "pictures": ", ".join(f"{split} {count}" for split, count in facts["pictures"].items()),
        "batch": facts["batch"],
        "learning rate": f"{facts['lr']:.4g} (scale 1), {facts['precision']}",
        "length": f"{length}{facts['iterations']} iterations, {facts['optimizer_steps']} optimizer steps",
        "two iterations": ", ".join(
            f"loss {loss:.4g} in {seconds:.2f} s"
            for loss, seconds in zip(facts["losses"], facts["step_s"], strict=True)
        ),
        "validation": f"{facts['validated']} pictures predicted and measured" if facts["validated"] else "not tried",
        "memory": f"{facts['peak_memory_mb']:.0f} MB at most",
        "estimated time": f"{duration(facts['estimated_s'])}, by the second iteration, without validation",
    }
    return "\n".join(f"{name + ':':17}{value}" for name, value in rows.items())
