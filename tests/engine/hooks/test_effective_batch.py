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

from mixedae.benchmark.plan.recipe import recipe_of
from mixedae.engine.hooks.effective_batch import Batch, batch_norm_images, stretch_schedulers
from mixedae.errors import ConfigError
from mixedae.files import ROOT
from tests.benchmark.fake_suite import resolved

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
        assert groups == pytest.approx([closed_form(peak, iteration, warmup=2 * accumulation)] * 2), iteration
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
            top = closed_form(0.005, iteration, total=6 * accumulation, warmup=2 * accumulation)
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
    assert sorted(rates[3]) == pytest.approx([0.02, 0.04])  # the warm-up of two steps is four iterations


def test_batch_norm_warning(make_runner: Make) -> None:
    options = {"model__batch_norm": True, "auto_scale_lr__base_batch_size": 8}
    _, lines = train_recording_lr(make_runner(optim_wrapper__accumulative_counts=2, **options))
    assert any("BatchNorm normalises over 4 images per step; the recipe's batch is 8" in line for line in lines)
    _, lines = train_recording_lr(make_runner(train_dataloader__batch_size=8, **options))
    assert not any("BatchNorm normalises" in line for line in lines)


class Steps:
    """Learning rates with which the optimizer really stepped."""

    def __init__(self, runner: Runner) -> None:
        self.rates: list[float] = []
        self.runner = runner

    def run(self) -> list[float]:
        original = OptimWrapper.step

        def step(wrapper: OptimWrapper, **kwargs: object) -> None:
            self.rates.append(wrapper.optimizer.param_groups[0]["lr"])
            original(wrapper, **kwargs)

        OptimWrapper.step = step
        try:
            self.runner.train()
        finally:
            OptimWrapper.step = original
        return self.rates


@pytest.mark.parametrize("accumulation", [2, 4])
def test_iterations_of_a_recipe_are_optimizer_steps(make_runner: Make, tmp_path: Path, accumulation: int) -> None:
    """As many steps, each with the rate of the run without accumulation (read within the same step)."""
    options = {"by_epoch": False, "train_cfg__max_iters": 40, "train_cfg__val_interval": 20}
    whole = Steps(make_runner(work_dir=tmp_path / "whole", train_dataloader__batch_size=4, **options)).run()
    runner = make_runner(
        work_dir=tmp_path / "parts",
        train_dataloader__batch_size=4 // accumulation,
        auto_scale_lr__accumulate=True,
        **options,
    )
    seen = Seen()
    runner.logger.handlers.append(seen)
    parts = Steps(runner).run()
    assert len(parts) == len(whole) == 40 and runner.iter == 40 * accumulation
    for step, rate in enumerate(parts):
        # read at the last of the step's iterations
        at = accumulation * (step + 1) - 1
        expected = closed_form(0.01, at, total=40 * accumulation, warmup=2 * accumulation)
        assert rate == pytest.approx(expected), step
        assert abs(rate - whole[step]) <= max(abs(whole[step] - r) for r in whole[max(0, step - 1) : step + 2]) + 1e-9
    assert runner.train_loop.val_interval == 20 * accumulation
    saved = sorted(int(p.stem.split("_")[1]) for p in (tmp_path / "parts").glob("iter_*.pth"))
    assert saved == [2 * accumulation * i for i in range(1, 21)]
    start = f"40 optimizer steps = {40 * accumulation} iterations / {accumulation} accumulation"
    assert any(line.startswith(start) for line in seen.lines)


@pytest.mark.parametrize(
    ("images", "base", "accumulation"), [(2, 16, 8), (4, 16, 4), (3, 16, 5), (16, 16, 1), (4, 2, 1)]
)
def test_a_recipes_batch_is_kept_by_accumulation(make_runner: Make, images: int, base: int, accumulation: int) -> None:
    """One process in the place of several; where B is no multiple, the nearest batch with its learning rate."""
    runner = make_runner(
        train_dataloader__batch_size=images, train_cfg__max_epochs=1, param_scheduler=None,
        auto_scale_lr={"base_batch_size": base, "enable": True, "accumulate": True},
    )  # fmt: skip
    _, lines = train_recording_lr(runner)
    effective = images * accumulation
    assert any(
        line.startswith(f"effective batch {effective} = 1 process x {images} images x {accumulation} accumulation; lr ")
        for line in lines
    )
    record = json.loads((Path(runner.work_dir) / "run_record.json").read_text())
    assert (record["accumulation"], record["lr"]) == (accumulation, pytest.approx(0.01 * effective / base))
    planned = recipe_of(runner.cfg, Path("toy.py"))  # what the harness expects of the run
    assert planned.effective_batch(1) == record["effective_batch"] == effective


def test_an_accumulation_that_is_given_is_kept(make_runner: Make) -> None:
    options = {"base_batch_size": 16, "enable": True, "accumulate": True}
    runner = make_runner(optim_wrapper__accumulative_counts=2, auto_scale_lr=options)
    _, lines = train_recording_lr(runner)
    assert any(line.startswith("effective batch 8 = 1 process x 4 images x 2 accumulation") for line in lines)
    assert recipe_of(runner.cfg, Path("toy.py")).effective_batch(1) == 8


@pytest.mark.parametrize("steps", [1, 2])
def test_a_warm_up_of_one_iteration_is_told(make_runner: Make, steps: int) -> None:
    """mmengine stays at the start factor for the whole run."""
    rates, lines = train_recording_lr(
        make_runner(param_scheduler=[dict(type="LinearLR", start_factor=0.1, end=steps, by_epoch=False)])
    )
    is_told = any("the whole run has lr x 0.1." in line for line in lines)
    assert is_told == (steps == 1) and max(max(r) for r in rates) == pytest.approx(0.001 if steps == 1 else 0.01)


def test_a_test_after_training_changes_nothing(make_runner: Make) -> None:
    """mmengine calls before_run again."""
    runner = make_runner(by_epoch=False, optim_wrapper__accumulative_counts=2)
    runner.train()
    state = (runner.max_iters, [g["lr"] for g in runner.optim_wrapper.optimizer.param_groups])
    runner.val()
    assert state == (runner.max_iters, [g["lr"] for g in runner.optim_wrapper.optimizer.param_groups])
    assert state[0] == 20


def test_stretched_schedulers() -> None:
    given = [
        dict(type="LinearLR", begin=0, end=5, by_epoch=False),
        dict(type="MultiStepLR", milestones=[7, 9], end=10, by_epoch=False, gamma=0.1),
        dict(type="CosineAnnealingLR", T_max=3, begin=1, end=4, by_epoch=True, convert_to_iter_based=True),
    ]
    linear, steps, cosine = stretch_schedulers(given, 4)
    assert linear == dict(type="LinearLR", begin=0, end=20, by_epoch=False)
    assert steps == dict(type="MultiStepLR", milestones=[28, 36], end=40, by_epoch=False, gamma=0.1)
    assert cosine == given[2] and given[0]["end"] == 5


def test_batch_norm_images() -> None:
    batch = Batch(processes=8, images=2, accumulation=3)
    assert batch.effective == 48
    assert batch_norm_images(nn.Linear(1, 1), batch) is None
    assert batch_norm_images(nn.Sequential(nn.BatchNorm2d(1)), batch) == 2
    assert batch_norm_images(nn.Sequential(nn.SyncBatchNorm(1)), batch) == 16
    assert batch_norm_images(nn.Sequential(nn.SyncBatchNorm(1), nn.BatchNorm2d(1)), batch) == 2


@pytest.mark.parametrize(("processes", "expected"), [(1, 16), (3, 18), (8, 16), (16, 32)])
def test_ade20k_is_planned_with_the_batch_that_it_accumulates_to(processes: int, expected: int) -> None:
    """2 images a process, 16 wanted: a suite on one GPU expects what the run then records."""
    leaf = "mm_configs/segmentation/mixedae-vit-base_upernet_8xb2-amp-160k_ade20k-512x512.py"
    assert resolved(ROOT / leaf).effective_batch(processes) == expected
