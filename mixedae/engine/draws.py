"""Random draws that depend on the place in training only, so that a resumed run draws what the unbroken run would have.

Each training picture has a random stream of its own, keyed by (seed, epoch, index): it does not matter which worker
prepares it, how long that worker lives, or what was drawn before. Each training step has one for what is drawn in the
model and for the batch (masks, mixing, drop path, mixup), keyed by (seed, step, rank).
"""

import hashlib
import random
import signal
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import Sampler, get_worker_info

from mixedae.datasets.unreadable import SHARE, Skipping, cause_of
from mixedae.errors import DataError, MixedAEError

PICTURE, STEP = 0, 1  # what a stream is for
ONCE_PER_EPOCH = (DefaultSampler, InfiniteSampler)  # these give each index once per epoch, over all processes


def stream_of(*key: int) -> int:
    """The seed of a stream.

    Args:
        *key: integers of at most 64 bits; another tuple gives an unrelated stream.

    Returns:
        A number of 63 bits.
    """
    digest = hashlib.blake2b(struct.pack(f"<{len(key)}q", *key), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_generators(stream: int) -> None:
    """Seed Python's, NumPy's and PyTorch's generators on the CPU.

    Args:
        stream: as :func:`stream_of` gave it.
    """
    random.seed(stream)
    np.random.seed(stream & 0xFFFFFFFF)
    torch.default_generator.manual_seed(stream)  # torch.manual_seed takes 100 times as long where CUDA sleeps


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed what a training step draws, on every device. No device is waited for.

    Args:
        seed: the run's.
        step: iterations done.
        rank: of this process.
    """
    stream = stream_of(STEP, seed, step, rank)
    seed_generators(stream)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(stream)


@contextmanager
def generators_kept() -> Iterator[None]:
    """Let Python's, NumPy's and PyTorch's generators go on after the block as if nothing had been drawn in it."""
    generator = torch.default_generator
    states = random.getstate(), np.random.get_state(), generator.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        generator.set_state(states[2])


class _StandIn:
    """Takes the place of an object; what it does not do itself, that object does."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __len__(self) -> int:
        return len(self.inner)

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # a copy that is not filled yet
            raise AttributeError(name)
        return getattr(self.inner, name)


class Draw(int):
    """An index of a dataset with the stream that its item draws from."""

    stream: int

    def __new__(cls, index: int, stream: int) -> "Draw":
        """An index and its stream."""
        draw = super().__new__(cls, index)
        draw.stream = stream
        return draw

    def __reduce__(self) -> tuple[type["Draw"], tuple[int, int]]:
        return Draw, (int(self), self.stream)  # workers get it through a queue


class NamingDataset(_StandIn):
    """A dataset that names the file if an item cannot be read.

    Args:
        dataset: the dataset or its config.
    """

    def __init__(self, dataset: Any) -> None:
        super().__init__(DATASETS.build(dataset) if isinstance(dataset, dict) else dataset)

    def __getitem__(self, index: int) -> Any:
        try:
            return self.inner[index]
        except MixedAEError:
            raise
        except Exception as error:
            if (cause := cause_of(self.inner, index, error)) is None:
                raise
            return self.instead_of(index, cause)

    def instead_of(self, index: int, cause: DataError) -> Any:
        """What is taken for an item that cannot be read: nothing.

        Args:
            index: of the item.
            cause: why.

        Raises:
            DataError: the cause.
        """
        raise cause


class DrawnDataset(NamingDataset):
    """A dataset whose items draw from the stream that came with their index. Few may be skipped if they do not decode.

    Args:
        dataset: the dataset or its config; its transforms may draw from any of the three generators.
        unreadable_share: of its pictures that may be skipped.
    """

    def __init__(self, dataset: Any, unreadable_share: float = SHARE) -> None:
        super().__init__(dataset)
        self.skipping = Skipping(len(self.inner), unreadable_share)

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The items of a batch; PyTorch's loaders ask so. A worker's generators serve nothing else, and are not kept.

        Args:
            indices: all of the sampler, or none: other indices draw from whatever comes next.
        """
        keeps = isinstance(indices[0], Draw) and get_worker_info() is None
        with generators_kept() if keeps else nullcontext():
            return [self._item(index) for index in indices]

    def _item(self, index: int) -> Any:
        if isinstance(index, Draw):
            seed_generators(index.stream)
        return super().__getitem__(index)

    def instead_of(self, index: int, cause: DataError) -> Any:
        """The next item, with the draws of the one that cannot be read; a resumed run takes it too.

        Args:
            index: of the item that cannot be read.
            cause: why.

        Raises:
            DataError: too many cannot be read.
        """
        self.skipping.note(int(index), cause)
        following = (int(index) + 1) % len(self.inner)
        return self._item(Draw(following, index.stream) if isinstance(index, Draw) else following)


class DrawnSampler(_StandIn, Sampler):
    """A sampler whose indices carry their stream, and which can start at any place of an epoch.

    Args:
        sampler: mmengine's or another one, or its config. One that gives an index several times per epoch is keyed by
            the place too, so that the copies differ.
        draw_seed: the run's.
        **arguments: for the sampler, if it is given by its config: mmengine's ``dataset`` and ``seed``.
    """

    def __init__(self, sampler: Any, draw_seed: int, **arguments: Any) -> None:
        is_config = isinstance(sampler, dict)
        super().__init__(DATA_SAMPLERS.build(sampler, default_args=arguments) if is_config else sampler)
        self.draw_seed = draw_seed
        self.start = 0
        self._given = 0  # by an endless sampler, since the run began
        self._rank, self._world_size = get_dist_info()

    @property
    def endless(self) -> bool:
        """Whether it never comes to the end of an epoch."""
        return isinstance(self.inner, InfiniteSampler)

    def start_at(self, place: int) -> None:
        """Let the next pass begin at a place.

        Args:
            place: indices that are passed over: of the epoch, or since the beginning if the sampler is endless.
        """
        self.start = place

    def set_seed(self, seed: int) -> None:
        """Take another seed, before anything is drawn.

        Args:
            seed: of the run that is resumed.
        """
        self.draw_seed = seed
        if hasattr(self.inner, "seed"):
            self.inner.seed = seed

    def __iter__(self) -> Iterator[Draw]:
        start, self.start = self.start, 0
        if self.endless and start:
            self._given = start
        indices: Iterator[int] = islice(iter(self.inner), start, None)
        once = isinstance(self.inner, ONCE_PER_EPOCH)
        epoch = getattr(self.inner, "epoch", 0)
        for place, index in enumerate(indices, start):
            if self.endless:
                epoch = (self._given * self._world_size + self._rank) // len(self.inner)
                self._given += 1
            copy = 0 if once else 1 + place * self._world_size + self._rank
            yield Draw(index, stream_of(PICTURE, self.draw_seed, epoch, index, copy))


class StartingBatchSampler(_StandIn):
    """A batch sampler that can start at any batch; for those that form batches in their own way, by aspect ratio say.

    Args:
        batch_sampler: its config.
        **arguments: for it: mmengine's ``batch_size`` and ``sampler``, a :class:`DrawnSampler`.
    """

    def __init__(self, batch_sampler: Any, **arguments: Any) -> None:
        super().__init__(DATA_SAMPLERS.build(batch_sampler, default_args=arguments))
        self.start = 0

    def start_at(self, batch: int) -> None:
        """Let the next pass begin at a batch.

        Args:
            batch: from 0.
        """
        self.start = batch

    def __iter__(self) -> Iterator[list[int]]:
        start, self.start = self.start, 0
        yield from islice(iter(self.inner), start, None)


def leave_stopping_to_training(worker_id: int) -> None:
    """Let a loader's worker pass over Ctrl-C, SIGUSR1 and SIGUSR2, which terminals and schedulers send to all.

    Training still needs its pictures until it has saved. SIGTERM stays as PyTorch has it, which ends its workers by it.

    Args:
        worker_id: PyTorch's; all do the same.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
