"""A run that was stopped anywhere and resumed ends with the weights of the unbroken run, bit for bit."""

import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.runner import EpochBasedTrainLoop

from mixedae.engine import StrictRunner
from mixedae.engine.draws import Draw, DrawnDataset, DrawnSampler, seed_step, stream_of
from mixedae.errors import WeightsError
from mixedae.weights import read_checkpoint
from tests.engine.drawing import DrawingData, drawing_config, train

WORKERS = [(0, False), (2, False), (2, True)]
VARIANTS = [(by_epoch, workers, persistent) for by_epoch in (True, False) for workers, persistent in WORKERS]
IDS = [f"{'epochs' if e else 'iterations'}-{w}{'-persistent' if p else ''}" for e, w, p in VARIANTS]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)
    monkeypatch.setattr("mmengine.runner.loops.time.sleep", lambda seconds: None)
    yield


def state(folder: Path, name: str) -> dict[str, Any]:
    """Weights, and the optimizer's state as a flat list of tensors."""
    checkpoint = read_checkpoint(folder / name)
    optimizer = checkpoint["optimizer"]["state"]
    moments = {f"{i}.{key}": value for i, entry in optimizer.items() for key, value in entry.items()}
    return {**checkpoint["state_dict"], **moments}


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    different = [name for name in expected if not torch.equal(torch.as_tensor(found[name]), expected[name])]
    assert not different


def last(by_epoch: bool) -> str:
    return "iter_21.pth" if by_epoch else "iter_20.pth"


def check_kill(tmp_path: Path, variant: tuple[bool, int, bool], step: int, **changes: Any) -> None:
    """Killed after ``step`` iterations and resumed, as often as it takes, against the unbroken run."""
    whole, broken = tmp_path / "whole", tmp_path / f"broken_{step}"
    if not whole.exists():
        assert train(drawing_config(whole, *variant, **changes)) == 0
    assert train(drawing_config(broken, *variant, kill=step, **changes)) == -signal.SIGKILL
    assert not (broken / last(variant[0])).exists()
    assert train(drawing_config(broken, *variant, resume=step > 3, **changes)) == 0
    assert_same(state(broken, last(variant[0])), state(whole, last(variant[0])))


@pytest.mark.parametrize("variant", VARIANTS, ids=IDS)
def test_r02_a_run_killed_at_a_step_ends_as_the_unbroken_one(tmp_path: Path, variant: tuple[bool, int, bool]) -> None:
    """Two places: one with its checkpoint in the middle of an epoch, one behind the last of an epoch."""
    for step in (5, 16):
        check_kill(tmp_path, variant, step)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=IDS)
def test_r02_twenty_kill_points(tmp_path: Path, variant: tuple[bool, int, bool]) -> None:
    for step in random.Random(0).sample(range(1, 20), 19) + [20] * variant[0]:
        check_kill(tmp_path, variant, step)


@pytest.mark.parametrize("by_epoch", [True, False])
def test_r02_accumulation_that_does_not_divide_an_epoch(tmp_path: Path, by_epoch: bool) -> None:
    """Checkpoints are due at iterations 3, 6, ... and wait for the steps at 4, 8, ...: nothing accumulated is lost."""
    changes = {"optim_wrapper.accumulative_counts": 4, "auto_scale_lr.base_batch_size": 8}
    if not by_epoch:  # what is counted in iterations is stretched by the accumulation
        changes |= {"train_cfg.max_iters": 5, "default_hooks.checkpoint.interval": 1}
    check_kill(tmp_path, (by_epoch, 0, False), 11, **changes)
    names = {path.name for path in (tmp_path / "whole").glob("*.pth")}
    if by_epoch:
        assert names == {f"iter_{n}.pth" for n in (4, 8, 12, 16, 20, 21)}


def test_epochs_checkpoint_waits_for_the_whole_step(tmp_path: Path) -> None:
    changes = {
        "optim_wrapper.accumulative_counts": 4,
        "auto_scale_lr.base_batch_size": 8,
        "default_hooks.checkpoint": {"_delete_": True, "type": "CheckpointHook", "interval": 1},
    }
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(drawing_config(whole, True, 0, False, **changes)) == 0
    meta = read_checkpoint(whole / "epoch_1.pth")["meta"]
    assert (meta["epoch"], meta["iter"]) == (1, 8)  # an epoch has 7 iterations
    assert train(drawing_config(broken, True, 0, False, kill=13, **changes)) == -signal.SIGKILL
    assert train(drawing_config(broken, True, 0, False, resume=True, **changes)) == 0
    assert_same(state(broken, "epoch_3.pth"), state(whole, "epoch_3.pth"))


@pytest.mark.parametrize("variant", [VARIANTS[0], VARIANTS[2], VARIANTS[4]], ids=[IDS[0], IDS[2], IDS[4]])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT], ids=lambda n: n.name)
def test_r03_a_signal_saves_and_ends_with_its_status(
    tmp_path: Path, variant: tuple[bool, int, bool], number: signal.Signals
) -> None:
    by_epoch = variant[0]
    checkpoints = {"default_hooks.checkpoint": {"_delete_": True, "type": "CheckpointHook", "interval": 1}}
    if not by_epoch:
        checkpoints["default_hooks.checkpoint"] |= {"by_epoch": False, "interval": 100}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(drawing_config(whole, *variant, **checkpoints)) == 0
    stopping = drawing_config(broken, *variant, kill=10, **checkpoints)
    stopping.custom_hooks[-1].number = int(number)
    assert train(stopping) == 128 + number
    left = "epoch_1_iter_3.pth" if by_epoch else "iter_10.pth"
    assert (broken / left).exists()
    assert train(drawing_config(broken, *variant, resume=True, **checkpoints)) == 0
    end = "epoch_3.pth" if by_epoch else "iter_20.pth"
    assert_same(state(broken, end), state(whole, end))
    assert not by_epoch or sorted(path.name for path in broken.glob("*.pth")) == [f"epoch_{n}.pth" for n in (1, 2, 3)]


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """The first one waits for a whole step, which the accumulation makes long."""
    cfg = drawing_config(
        tmp_path / "run", True, 0, False, kill=1, **{"optim_wrapper.accumulative_counts": 14, "train_cfg.max_epochs": 2}
    )
    cfg.auto_scale_lr.base_batch_size = 28
    cfg.param_scheduler = None
    cfg.custom_hooks[-1].number = int(signal.SIGTERM)
    cfg.custom_hooks.append({"type": "KillHook", "step": 2, "number": int(signal.SIGTERM)})
    assert train(cfg) == -signal.SIGTERM
    assert not list((tmp_path / "run").glob("*.pth"))


def test_a_checkpoint_of_epochs_of_another_length_is_refused(
    tmp_path: Path, make_runner: Callable[..., StrictRunner]
) -> None:
    folder = tmp_path / "run"
    assert train(drawing_config(folder, True, 0, False, kill=5)) == -signal.SIGKILL
    changes = {"train_dataloader.dataset.length": 4, "allow_change": ["pictures", "train_dataloader.dataset"]}
    cfg = drawing_config(folder, True, 0, False, resume=True, **changes)
    with pytest.raises(WeightsError, match="iteration 3 after 0 whole epochs, which does not fit epochs of 2 iter"):
        StrictRunner.from_cfg(cfg).train()


# Draws of pictures


def draws(sampler: DrawnSampler, epoch: int, count: int, skip: int = 0) -> list[tuple[int, int]]:
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
    sampler.start_at(skip)
    return [(int(draw), draw.stream) for _, draw in zip(range(count), sampler, strict=False)]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(0, 20), st.integers(0, 3), st.booleans())
def test_r16_no_two_epochs_share_a_stream_and_any_place_can_be_the_start(
    size: int, skip: int, seed: int, endless: bool
) -> None:
    def build() -> DrawnSampler:
        data = DrawingData(size)
        return DrawnSampler(InfiniteSampler(data, seed=seed) if endless else DefaultSampler(data, seed=seed), seed)

    if endless:
        drawn = draws(build(), 0, 4 * size)
        skip %= 4 * size
        assert draws(build(), 0, 4 * size - skip, skip) == drawn[skip:]
    else:
        drawn = [pair for epoch in range(4) for pair in draws(build(), epoch, size)]
        skip %= size
        assert draws(build(), 2, size, skip) == drawn[2 * size + skip : 3 * size]
    assert len({stream for _, stream in drawn}) == len(drawn)
    assert [sorted(i for i, _ in drawn[e * size : (e + 1) * size]) for e in range(4)] == [list(range(size))] * 4


@pytest.mark.parametrize(("workers", "persistent"), WORKERS)
def test_r16_epochs_draw_anew_whatever_the_workers(tmp_path: Path, workers: int, persistent: bool) -> None:
    """The numbers that reach training are a function of (seed, epoch, index), and of nothing else."""
    cfg = drawing_config(tmp_path, True, workers, persistent)
    runner = StrictRunner.from_cfg(cfg)
    loop = runner.build_train_loop(runner._train_loop)
    seen: list[dict[int, tuple[float, ...]]] = []
    for epoch in range(2):
        loop.dataloader.sampler.set_epoch(epoch)
        seen.append({int(x[3]): tuple(x[:3].tolist()) for batch in loop.dataloader for x in batch["inputs"]})
    for epoch, numbers in enumerate(seen):
        for index, found in numbers.items():
            stream = stream_of(0, 0, epoch, index, 0)
            random.seed(stream), np.random.seed(stream & 0xFFFFFFFF), torch.manual_seed(stream)
            assert found == tuple(DrawingData()[index]["inputs"][:3].tolist())
    assert not set(seen[0].values()) & set(seen[1].values())


def test_a_shortened_epoch_draws_from_its_part_of_the_data(tmp_path: Path) -> None:
    """mmengine cuts the data set and gives the sampler what is left."""
    runner = StrictRunner.from_cfg(
        drawing_config(tmp_path, True, 0, False, **{"train_dataloader.num_batch_per_epoch": 3})
    )
    loader = runner.build_train_loop(runner._train_loop).dataloader
    seen = sorted(int(x[3]) for batch in loader for x in batch["inputs"])
    assert len(loader) == 3 and seen == list(range(6))


def test_a_loader_that_is_built_already_trains_in_mmengines_loop(tmp_path: Path) -> None:
    runner = StrictRunner.from_cfg(drawing_config(tmp_path, True, 0, False))
    runner._train_dataloader = StrictRunner.build_dataloader(runner._train_dataloader, seed=0)
    assert type(runner.build_train_loop(runner._train_loop)) is EpochBasedTrainLoop
    runner.train()
    assert runner.iter == 21


def test_r17_ranks_and_steps_have_streams_of_their_own() -> None:
    def permutation(*key: int) -> tuple[Any, ...]:
        seed_step(*key)
        return random.random(), np.random.rand(), tuple(torch.randperm(64).tolist())

    keys = [(seed, step, rank) for seed in (0, 1) for step in (0, 1, 2) for rank in (0, 1, 2)]
    found = [permutation(*key) for key in keys]
    for numbers in zip(*found, strict=True):
        assert len(set(numbers)) == len(keys)
    assert found == [permutation(*key) for key in keys]


def test_r17_processes_share_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if a sampler gives one picture to several of them, as repeated augmentation does."""
    from mmpretrain.datasets.samplers import RepeatAugSampler

    streams = []
    for rank in range(2):
        for module in ("mmpretrain.datasets.samplers.repeat_aug", "mixedae.engine.draws"):
            monkeypatch.setattr(f"{module}.get_dist_info", lambda rank=rank: (rank, 2))
        sampler = DrawnSampler(RepeatAugSampler(DrawingData(256), num_repeats=3, shuffle=True, seed=0), 0)
        streams += [draw.stream for draw in sampler]
    assert len(streams) == len(set(streams)) == 256


def test_an_item_leaves_the_generators_as_they_were() -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(3).tolist()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    data = DrawnDataset(DrawingData())
    first, again, other = data[Draw(3, 7)], data[Draw(3, 7)], data[Draw(3, 8)]
    assert torch.equal(first["inputs"], again["inputs"]) and not torch.equal(first["inputs"], other["inputs"])
    assert (random.random(), np.random.rand(), torch.rand(3).tolist()) == expected
    assert not torch.equal(data[3]["inputs"], data[3]["inputs"])  # no place in training: it draws what comes next


def test_r14_the_seed_decides(tmp_path: Path) -> None:
    for name, seed, workers in (("a", 0, 0), ("b", 0, 2), ("c", 1, 0)):
        assert train(drawing_config(tmp_path / name, True, workers, False, **{"randomness.seed": seed})) == 0
    assert_same(state(tmp_path / "b", "iter_21.pth"), state(tmp_path / "a", "iter_21.pth"))
    a, c = (read_checkpoint(tmp_path / name / "iter_21.pth")["state_dict"] for name in ("a", "c"))
    assert not torch.equal(a["net.0.weight"], c["net.0.weight"])


def test_a_run_without_a_seed_goes_on_with_the_one_it_drew(tmp_path: Path) -> None:
    """mmengine draws one, stores it in the checkpoint, and builds the loader before it reads it."""
    changes: dict[str, Any] = {"randomness": {"_delete_": True, "seed": None}}
    folder = tmp_path / "run"
    assert train(drawing_config(folder, True, 0, False, kill=10, **changes)) == -signal.SIGKILL
    seed = read_checkpoint(folder / "iter_9.pth")["meta"]["seed"]
    assert train(drawing_config(folder, True, 0, False, resume=True, **changes)) == 0
    whole: Config = drawing_config(tmp_path / "whole", True, 0, False, **{"randomness.seed": seed})
    assert train(whole) == 0
    assert_same(state(folder, "iter_21.pth"), state(tmp_path / "whole", "iter_21.pth"))
