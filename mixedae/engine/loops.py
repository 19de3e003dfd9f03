"""mmengine's training loops, which draw by place and can start in the middle of an epoch.

:class:`mixedae.StrictRunner` takes them in the place of mmengine's. What they train does not depend on whether, where
or how often the run was stopped (on the same machine, with the same number of processes).
"""

import copy
from typing import Any

from mmengine.dist import get_rank
from mmengine.registry import DATA_SAMPLERS, DATASETS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader

from mixedae.engine.draws import (
    DrawnDataset,
    DrawnSampler,
    StartingBatchSampler,
    leave_stopping_to_training,
    seed_step,
)
from mixedae.errors import WeightsError
from mixedae.registry import LOOPS


def drawn_loader(runner: Runner, config: Any) -> DataLoader:
    """Build a training loader whose pictures draw by place; all else is mmengine's.

    Args:
        runner: whose seed is taken.
        config: of the loader.
    """
    if isinstance(config, DataLoader):
        return config
    config = copy.deepcopy(config)
    dataset = config["dataset"]
    if isinstance(dataset, dict):
        dataset = DATASETS.build(dataset)
        if hasattr(dataset, "full_init"):
            dataset.full_init()
    sampler = config["sampler"]
    if isinstance(sampler, dict):
        seed = None if runner._randomness_cfg.get("diff_rank_seed") else runner.seed
        sampler = DATA_SAMPLERS.build(sampler, default_args=dict(dataset=dataset, seed=seed))
    config["dataset"] = DrawnDataset(dataset)
    config["sampler"] = DrawnSampler(sampler, _seed(runner))
    if isinstance(config.get("batch_sampler"), dict):
        arguments = dict(sampler=config["sampler"], batch_size=config.pop("batch_size"))
        config["batch_sampler"] = StartingBatchSampler(
            DATA_SAMPLERS.build(config["batch_sampler"], default_args=arguments)
        )
    config.pop("disable_subprocess_warning", None)  # of mmengine's own worker_init_fn, which only seeds
    config.setdefault("worker_init_fn", dict(type=leave_stopping_to_training))
    return runner.build_dataloader(config, seed=runner.seed)


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
        batches.start = batch
    else:
        drawn_sampler(loader).start_at(batch * batches.batch_size)


def _seed(runner: Runner) -> int:
    """One seed for all processes; mmengine adds the rank to its own if it is told to."""
    seed: int = runner.seed
    return seed - get_rank() if runner._randomness_cfg.get("diff_rank_seed") else seed


@LOOPS.register_module()
class ExactEpochLoop(EpochBasedTrainLoop):
    """mmengine's loop over epochs. A checkpoint may come from the middle of one.

    Args:
        runner: a :class:`mixedae.StrictRunner`.
        dataloader: a loader or its config.
        **kwargs: as mmengine's.
    """

    def __init__(self, runner: Any, dataloader: Any, **kwargs: Any) -> None:
        super().__init__(runner, drawn_loader(runner, dataloader), **kwargs)

    def resumed(self) -> None:
        """Take the seed of the run that was resumed.

        Raises:
            WeightsError: its epochs have another length, so that the checkpoint's place does not exist.
        """
        take_seed(self.runner, self.dataloader)
        place, length = self._iter - self._epoch * len(self.dataloader), len(self.dataloader)
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
        first = self._iter - self._epoch * len(self.dataloader)
        start_at(self.dataloader, first)
        for place, batch in enumerate(self.dataloader, first):
            self.run_iter(place, batch)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """One iteration, which draws from its own stream.

        Args:
            idx: in the epoch.
            data_batch: of the loader.
        """
        seed_step(_seed(self.runner), self._iter, get_rank())
        super().run_iter(idx, data_batch)
        self.runner.stop_if_asked()


@LOOPS.register_module()
class ExactIterLoop(IterBasedTrainLoop):
    """mmengine's loop over iterations.

    Args:
        runner: a :class:`mixedae.StrictRunner`.
        dataloader: a loader or its config.
        **kwargs: as mmengine's.
    """

    def __init__(self, runner: Any, dataloader: Any, **kwargs: Any) -> None:
        super().__init__(runner, drawn_loader(runner, dataloader), **kwargs)
        self.dataloader_iterator = _Batches(self.dataloader)

    def resumed(self) -> None:
        """Take the seed of the run that was resumed."""
        take_seed(self.runner, self.dataloader)

    def run_iter(self, data_batch: Any) -> None:
        """One iteration, which draws from its own stream.

        Args:
            data_batch: of the loader.
        """
        seed_step(_seed(self.runner), self._iter, get_rank())
        super().run_iter(data_batch)
        self.runner.stop_if_asked()


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


def take_seed(runner: Runner, loader: DataLoader) -> None:
    """Let a loader draw what the resumed run would have drawn: mmengine took that run's seed after building it.

    Args:
        runner: resumed.
        loader: of :func:`drawn_loader`.
    """
    sampler: Any = getattr(loader.batch_sampler, "sampler", None)
    if isinstance(sampler, DrawnSampler) and not runner._randomness_cfg.get("diff_rank_seed"):
        sampler.set_seed(runner.seed)


EXACT_LOOPS = {"EpochBasedTrainLoop": ExactEpochLoop, "IterBasedTrainLoop": ExactIterLoop}
