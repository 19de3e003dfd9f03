"""mmengine's CheckpointHook, which saves whole steps and removes old checkpoints only after the new one is written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from mixedae.engine.resuming import MID_EPOCH
from mixedae.engine.unwrapping import unwrapped
from mixedae.errors import SaveError
from mixedae.saving import free_bytes


class _RemovesLater:
    """A file backend that notes what is to be removed."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.removals: list[tuple[Callable[[str], None], str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.removals.append((self.backend.remove, path))

    def rmtree(self, path: str) -> None:
        self.removals.append((self.backend.rmtree, path))


def step_is_whole(runner: Runner) -> bool:
    """Whether no gradients are accumulated that a checkpoint would lose.

    Args:
        runner: after an iteration.
    """
    wrapper: Any = runner.optim_wrapper
    return not isinstance(wrapper, OptimWrapper) or bool(wrapper.should_update())


def checkpoint_bytes(runner: Runner) -> int:
    """About how large a checkpoint will be: weights, and what the optimizer keeps for each that is trained.

    Args:
        runner: with its optimizer built.

    Returns:
        Bytes.
    """
    model: Any = unwrapped(runner.model)
    weights = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    defaults = getattr(getattr(runner.optim_wrapper, "optimizer", None), "defaults", {})
    moments = 2 if "betas" in defaults else int(bool(defaults.get("momentum")))
    return int(weights + moments * trained)


class KeepingCheckpointHook(CheckpointHook):
    """CheckpointHook with the same files in the end, and never fewer than ``max_keep_ckpts`` while it saves.

    mmengine removes the oldest checkpoint, or the best one so far, and writes the new one then: a kill between the two
    leaves one checkpoint less. In a copied run it removes the best checkpoint of the original. This hook removes after
    it has written, and in its own folder only. :class:`mixedae.StrictRunner` takes it in the other's place. The disk
    must have room for one checkpoint more.

    A checkpoint holds no gradients. If it is due while gradients are accumulated, which happens at the end of an epoch
    whose length the accumulation does not divide, it is written after the next optimizer step.
    """

    _due: int | None = None  # the number in the name of the checkpoint that waits for a whole step

    def before_train(self, runner: Runner) -> None:
        """Find the folder, and whether it has room.

        Args:
            runner: about to train.

        Raises:
            SaveError: two checkpoints do not fit on the disk.
        """
        super().before_train(runner)
        saves = self.interval > 0 or self.save_last
        if not (saves and is_main_process()):
            return
        size, free = checkpoint_bytes(runner), free_bytes(Path(self.out_dir))
        if free is not None and free < 2 * size:
            raise SaveError(
                f"{free} bytes are free at {self.out_dir}, and a run needs room for two checkpoints of about {size} "
                "bytes each: a new one is written before an old one is removed. Make room, or choose another --work-dir"
            )

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Save if it is time, or if a save has waited for this step.

        Args:
            runner: training.
            *args: mmengine's.
            **kwargs: mmengine's.
        """
        super().after_train_iter(runner, *args, **kwargs)
        if self._due is not None:
            done = runner.iter + 1
            step = self._due if self.by_epoch else done
            self._save_checkpoint_with_step(runner, step, dict(epoch=runner.epoch, iter=done))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        self._due = None if step_is_whole(runner) else step
        if self._due is None:
            with self._removals_last():
                super()._save_checkpoint_with_step(runner, step, meta)
            if self.by_epoch and is_main_process():
                for path in Path(self.out_dir).glob(self.filename_tmpl.format(MID_EPOCH.format("*", "*"))):
                    path.unlink(missing_ok=True)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        with self._removals_last():
            super()._save_best_checkpoint(runner, metrics)

    @contextmanager
    def _removals_last(self) -> Iterator[None]:
        """Do the removals of the block after it; none after an error."""
        before: Any = self.file_backend  # type: ignore[has-type]  # mmengine sets it when training starts
        later = _RemovesLater(before)
        self.file_backend = later
        try:
            yield
        finally:
            self.file_backend = before
        written = {self.last_ckpt, getattr(self, "best_ckpt_path", None)}
        written |= set(getattr(self, "best_ckpt_path_dict", {}).values())
        for remove, path in later.removals:
            if path not in written and Path(path).parent == Path(self.out_dir):
                remove(path)
