"""mmengine's training loops, which draw by place and can start in the middle of an epoch.

:class:`mixedae.StrictRunner` takes them in the place of mmengine's. What they train does not depend on whether, where
or how often the run was stopped (on the same machine, with the same number of processes).
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine.dist import get_rank
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader

from mixedae.datasets.unreadable import SHARE
from mixedae.engine.draws import (
    DrawnDataset,
    DrawnSampler,
    NamingDataset,
    StartingBatchSampler,
    leave_stopping_to_training,
    seed_step,
)
from mixedae.errors import WeightsError, WorkerError
from mixedae.registry import LOOPS

UNREADABLE = "unreadable_share"
"""Key of a config: share of the training pictures that may be skipped because they do not decode."""
WAIT = 600
"""Seconds that a loader waits for a batch, if its config sets no ``timeout``."""


def drawn_loader(runner: Runner, config: Mapping[str, Any]) -> DataLoader:
    """Build a training loader whose pictures draw by place. mmengine builds it, with stand-ins for three of its parts.

    Args:
        runner: whose seed is taken.
        config: of the loader.
    """
    config = dict(config)
    config["dataset"] = dict(
        type=DrawnDataset, dataset=config["dataset"], unreadable_share=runner.cfg.get(UNREADABLE, SHARE)
    )
    bound_waiting(config)
    config["sampler"] = dict(type=DrawnSampler, sampler=config["sampler"], draw_seed=_seed(runner))
    if config.get("batch_sampler") is not None:
        config["batch_sampler"] = dict(type=StartingBatchSampler, batch_sampler=config["batch_sampler"])
    config.pop("disable_subprocess_warning", None)  # of mmengine's own worker_init_fn, which only seeds
    config.setdefault("worker_init_fn", dict(type=leave_stopping_to_training))
    diff_rank_seed = runner._randomness_cfg.get("diff_rank_seed", False)
    return runner.build_dataloader(config, seed=runner.seed, diff_rank_seed=diff_rank_seed)


def bound_waiting(config: dict[str, Any]) -> None:
    """Let a loader wait for its workers for a bounded time only: one that hangs would hang the run without a word.

    Args:
        config: of the loader, which is changed.
    """
    if config.get("num_workers"):
        config.setdefault("timeout", WAIT)


def naming(loader: Any) -> Any:
    """The config of a validation or test loader, so that a file which does not decode is named.

    Args:
        loader: the config; a loader that is built already stays as it is.
    """
    if not isinstance(loader, dict) or not isinstance(loader.get("dataset"), dict):
        return loader
    config = dict(loader, dataset=dict(type=NamingDataset, dataset=loader["dataset"]))
    bound_waiting(config)
    return config


@contextmanager
def dead_workers_named() -> Iterator[None]:
    """Say in a sentence that a loader's worker died or hangs; PyTorch raises a RuntimeError wherever training is then.

    Raises:
        WorkerError: in its place.
    """
    try:
        try:
            yield
        except (ConnectionError, EOFError):  # its pipe broke first: PyTorch's own error is on its way, as a signal
            time.sleep(1)
            raise
    except RuntimeError as error:
        text = str(error).splitlines()[0] if str(error) else ""
        if not text.startswith("DataLoader "):
            raise
        cause = (
            "the disk may hang, or the timeout of the loader is too short"
            if "timed out" in text
            else "the system may have run out of memory: fewer workers (train_dataloader.num_workers) take less"
        )
        raise WorkerError(f"{text.rstrip('. ')}: {cause}. --resume goes on from the last checkpoint") from error


def drawn_sampler(loader: DataLoader) -> DrawnSampler:
    """The sampler that gives a loader's indices.

    Args:
        loader: of :func:`drawn_loader`.
    """
    batches: Any = loader.batch_sampler
    sampler: DrawnSampler = batches.sampler
    return sampler


def start_at(loader: DataLoader, batch: int) -> None:
    """Let the next pass of a loader begin at a batch. Nothing is decoded for the batches before it.

    Args:
        loader: of :func:`drawn_loader`.
        batch: from 0.
    """
    batches: Any = loader.batch_sampler
    if isinstance(batches, StartingBatchSampler):
        batches.start_at(batch)
    else:
        drawn_sampler(loader).start_at(batch * batches.batch_size)


def _seed(runner: Runner) -> int:
    """One seed for all processes; mmengine adds the rank to its own if it is told to."""
    seed: int = runner.seed
    return seed - get_rank() if runner._randomness_cfg.get("diff_rank_seed") else seed


class ExactLoop:
    """What both loops have: a loader that draws by place, and iterations with a stream each.

    Args:
        runner: a :class:`mixedae.StrictRunner`.
        dataloader: the loader's config.
        **kwargs: as mmengine's loop has them.
    """

    runner: Any
    dataloader: DataLoader
    _iter: int

    def __init__(self, runner: Any, dataloader: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(runner, drawn_loader(runner, dataloader), **kwargs)  # type: ignore[call-arg]

    def resumed(self) -> None:
        """Draw what the resumed run would have drawn: mmengine takes that run's seed after the loader is built."""
        if not self.runner._randomness_cfg.get("diff_rank_seed"):
            drawn_sampler(self.dataloader).set_seed(self.runner.seed)

    def run_iter(self, *args: Any) -> None:
        """One iteration, which draws from its own stream. The run may end after it.

        Args:
            *args: as mmengine's loop has them.
        """
        seed_step(_seed(self.runner), self._iter, get_rank())
        super().run_iter(*args)  # type: ignore[misc]
        self.runner.stop_if_asked()


@LOOPS.register_module()
class ExactEpochLoop(ExactLoop, EpochBasedTrainLoop):
    """mmengine's loop over epochs. A checkpoint may come from the middle of one."""

    def resumed(self) -> None:
        """Take the seed of the run that was resumed.

        Raises:
            WeightsError: its epochs have another length, so that the checkpoint's place does not exist.
        """
        super().resumed()
        place, length = self._place(), len(self.dataloader)
        if not 0 <= place <= length:
            raise WeightsError(
                f"the checkpoint stands at iteration {self._iter} after {self._epoch} whole epochs, which does not fit "
                f"epochs of {length} iterations: the number of pictures, the batch size or the number of processes was "
                "another one. Resume with what the run was started with"
            )

    def run_epoch(self) -> None:
        """Train one epoch, or what is left of it."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        first = self._place()
        start_at(self.dataloader, first)
        for place, batch in enumerate(self.dataloader, first):
            self.run_iter(place, batch)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def _place(self) -> int:
        """Iterations done in this epoch."""
        return self._iter - self._epoch * len(self.dataloader)


@LOOPS.register_module()
class ExactIterLoop(ExactLoop, IterBasedTrainLoop):
    """mmengine's loop over iterations."""

    def __init__(self, runner: Any, dataloader: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(runner, dataloader, **kwargs)
        self.dataloader_iterator = _Batches(self.dataloader)


class _Batches(_InfiniteDataloaderIterator):
    """Batches without end, from any place on."""

    def skip_iter(self, num_iters: int) -> None:
        sampler = drawn_sampler(self._dataloader)
        if not sampler.endless:
            self._epoch, num_iters = divmod(num_iters, len(self._dataloader))
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(self._epoch)
        start_at(self._dataloader, num_iters)
        self._iterator = None


EXACT_LOOPS = {"EpochBasedTrainLoop": ExactEpochLoop, "IterBasedTrainLoop": ExactIterLoop}
