"""lr = configured lr x effective batch / base batch, for any number of processes and any accumulation."""

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from mixedae.engine.effective_batch import Batch, batch_norm_images
from mixedae.errors import ConfigError

Make = Callable[..., Runner]


class Seen(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def train_recording_lr(runner: Runner) -> tuple[list[list[float]], list[str]]:
    """Learning rates of every group at every iteration, and the log."""
    seen, rates = Seen(), []
    runner.logger.handlers.append(seen)
    original = OptimWrapper.update_params

    def update_params(self: OptimWrapper, *args: object, **kwargs: object) -> None:
        rates.append([group["lr"] for group in self.optimizer.param_groups])
        original(self, *args, **kwargs)

    OptimWrapper.update_params = update_params
    try:
        runner.train()
    finally:
        OptimWrapper.update_params = original
    return rates, seen.lines


def closed_form(peak: float, iteration: int, total: int = 12, warmup: int = 2) -> float:
    """Linear from 0.1 x peak over 2 iterations, then cosine to 0 (the toy config's schedule)."""
    if iteration < warmup:
        return peak * (0.1 + 0.9 * iteration / (warmup - 1))
    return peak * (1 + math.cos(math.pi * (iteration - warmup) / (total - warmup))) / 2


@pytest.mark.parametrize("processes", [1, 2, 8])
@pytest.mark.parametrize(("accumulation", "base"), [(1, 4), (1, 256), (2, 16), (4, 16)])
def test_table(
    make_runner: Make, monkeypatch: pytest.MonkeyPatch, processes: int, accumulation: int, base: int
) -> None:
    monkeypatch.setattr(Runner, "world_size", processes)
    runner = make_runner(
        optim_wrapper__accumulative_counts=accumulation, auto_scale_lr__base_batch_size=base, val_dataloader=None,
        val_cfg=None, val_evaluator=None, default_hooks__checkpoint__interval=100,
    )  # fmt: skip
    rates, lines = train_recording_lr(runner)
    effective = processes * 4 * accumulation
    peak = 0.01 * effective / base
    for iteration, groups in enumerate(rates):
        assert groups == pytest.approx([closed_form(peak, iteration)] * 2), iteration
    line = next(line for line in lines if line.startswith("effective batch"))
    plural = "process" if processes == 1 else "processes"
    assert line == (
        f"effective batch {effective} = {processes} {plural} x 4 images x {accumulation} accumulation; lr {peak:.4g} = "
        f"0.01 x {effective} / {base} (base lr {0.01 * 256 / base:.4g} for 256 images)"
    )
    record = json.loads((Path(runner.work_dir) / "run_record.json").read_text())
    assert (record["effective_batch"], record["lr"]) == (effective, pytest.approx(peak))
    assert runner.optim_wrapper.base_param_settings["initial_lr"] == pytest.approx(peak)


def test_same_effective_batch_gives_the_same_schedule_per_group(make_runner: Make, tmp_path: Path) -> None:
    """Accumulation must not change what layer-decayed groups get."""
    vit = {
        "type": "mmpretrain.VisionTransformer", "img_size": 8, "patch_size": 4, "out_type": "raw",
        "arch": {"embed_dims": 8, "num_layers": 2, "num_heads": 2, "feedforward_channels": 8},
    }  # fmt: skip
    for accumulation in (1, 2, 4):
        runner = make_runner(
            work_dir=tmp_path / str(accumulation),
            model__backbone=vit,
            optim_wrapper__accumulative_counts=accumulation,
            optim_wrapper__paramwise_cfg={"layer_decay_rate": 0.5},
            train_dataloader__batch_size=8 // accumulation,
            auto_scale_lr__base_batch_size=16,
        )
        rates, _ = train_recording_lr(runner)
        assert len(rates) == 6 * accumulation
        for iteration, groups in enumerate(rates):
            top = closed_form(0.005, iteration, total=6 * accumulation)
            expected = [top * scale for scale in (0.125, 0.25, 0.5, 1.0)]
            assert sorted(set(groups)) == pytest.approx(sorted(set(expected)), abs=1e-12), iteration


def test_a_batch_that_the_learning_rate_is_not_for_is_refused(make_runner: Make) -> None:
    runner = make_runner(auto_scale_lr={"base_batch_size": 16, "enable": False})
    with pytest.raises(ConfigError, match=r"enable=True \(lr becomes 0.0025\), or optim_wrapper.accumulative_counts=4"):
        runner.train()
    make_runner(auto_scale_lr={"base_batch_size": 16, "enable": False}, optim_wrapper__accumulative_counts=4).train()


def test_a_run_without_a_base_batch_says_so_and_trains(make_runner: Make) -> None:
    _, lines = train_recording_lr(make_runner(auto_scale_lr=None))
    assert "effective batch 4 = 1 process x 4 images x 1 accumulation; lr 0.01 as configured" in lines


@pytest.mark.parametrize(
    "change",
    [{"train_dataloader__batch_size": 8}, {"optim_wrapper__accumulative_counts": 2}],
    ids=["batch", "accumulation"],
)
def test_resuming_with_another_effective_batch_is_refused(make_runner: Make, change: dict) -> None:
    make_runner(train_cfg__max_epochs=2).train()
    with pytest.raises(ConfigError, match=r"expected lr 0\.02 = 0\.01 x 8 / 4, found 0\.01 in the optimizer.*resumed"):
        make_runner(resume=True, **change).train()
    make_runner(resume=True).train()


@pytest.mark.parametrize("accumulation", [1, 2])
def test_resuming_continues_the_schedule(make_runner: Make, tmp_path: Path, accumulation: int) -> None:
    options = {"optim_wrapper__accumulative_counts": accumulation}
    whole, _ = train_recording_lr(make_runner(work_dir=tmp_path / "whole", **options))
    runner = make_runner(work_dir=tmp_path / "cut", **options)
    runner.train_loop._max_epochs = 2
    first, _ = train_recording_lr(runner)
    (tmp_path / "cut" / "epoch_3.pth").unlink(missing_ok=True)
    second, _ = train_recording_lr(make_runner(work_dir=tmp_path / "cut", resume=True, **options))
    assert len(first) == 8 and len(second) == 4
    for found, expected in zip(first + second, whole, strict=True):
        assert found == pytest.approx(expected)


def test_a_learning_rate_that_something_else_changed_is_refused(make_runner: Make) -> None:
    runner = make_runner(param_scheduler=None)
    original = runner.build_optim_wrapper

    def build(cfg: object) -> OptimWrapper:
        wrapper = original(cfg)
        for group in wrapper.optimizer.param_groups:
            group["lr"] *= 3
        return wrapper

    runner.build_optim_wrapper = build
    with pytest.raises(ConfigError, match=r"expected lr 0\.01 = 0\.01 x 4 / 4, found 0\.03"):
        runner.train()


def test_mmengines_default_constructor_is_checked_too(make_runner: Make) -> None:
    options = {
        "optim_wrapper__constructor": "DefaultOptimWrapperConstructor",
        "optim_wrapper__paramwise_cfg": {"custom_keys": {"bias": {"lr_mult": 2.0}}},
        "optim_wrapper__accumulative_counts": 2,
    }
    rates, _ = train_recording_lr(make_runner(**options))
    assert sorted(rates[1]) == pytest.approx([0.02, 0.04])


def test_batch_norm_warning(make_runner: Make) -> None:
    options = {"model__batch_norm": True, "auto_scale_lr__base_batch_size": 8}
    _, lines = train_recording_lr(make_runner(optim_wrapper__accumulative_counts=2, **options))
    assert any("BatchNorm normalises over 4 images a step, the recipe's batch is 8" in line for line in lines)
    _, lines = train_recording_lr(make_runner(train_dataloader__batch_size=8, **options))
    assert not any("BatchNorm normalises" in line for line in lines)


def test_iterations_are_not_steps_under_accumulation(make_runner: Make) -> None:
    _, lines = train_recording_lr(make_runner(by_epoch=False, optim_wrapper__accumulative_counts=4))
    assert any(line.startswith("10 iterations are 3 optimizer steps with 4 accumulation") for line in lines)


def test_batch_norm_images() -> None:
    batch = Batch(processes=8, images=2, accumulation=3)
    assert batch.effective == 48
    assert batch_norm_images(nn.Linear(1, 1), batch) is None
    assert batch_norm_images(nn.Sequential(nn.BatchNorm2d(1)), batch) == 2
    assert batch_norm_images(nn.Sequential(nn.SyncBatchNorm(1)), batch) == 16
    assert batch_norm_images(nn.Sequential(nn.SyncBatchNorm(1), nn.BatchNorm2d(1)), batch) == 2
