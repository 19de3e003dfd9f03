"""A resumed run is the run that was started: what differs is refused by name, or is allowed and then takes effect."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from mixedae.engine import StrictRunner
from mixedae.engine.continuity import META, changes, check_changes, facts_of
from mixedae.errors import ConfigError, FolderInUseError, SaveError
from mixedae.weights import read_checkpoint
from tests.engine.drawing import drawing_config, train

Make = Callable[..., StrictRunner]


@pytest.fixture
def strict(make_runner: Callable[..., Any]) -> Make:
    return lambda *args, **changes: make_runner(*args, kind=StrictRunner, **changes)


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "batch": ({"train_dataloader__batch_size": 2}, "batch 4 then, 2 now"),
    "accumulation": ({"optim_wrapper__accumulative_counts": 2}, "accumulation 1 then, 2 now"),
    "optim_wrapper.optimizer.weight_decay": (
        {"optim_wrapper__optimizer__weight_decay": 0.3},
        r"optim_wrapper\.optimizer\.weight_decay 0\.05 then, 0\.3 now",
    ),
    "pictures": ({"train_dataloader__dataset": {"type": "ToyData", "length": 16 - 4}}, "pictures 16 then, 12 now"),
    "randomness.seed": ({"randomness__seed": 7}, r"randomness\.seed 0 then, 7 now"),
    "param_scheduler": (
        {"param_scheduler": [{"type": "ConstantLR", "factor": 1.0}]},
        r'param_scheduler\.0\.type "LinearLR" then, "ConstantLR" now',
    ),
    "train_cfg.max_epochs": ({"train_cfg__max_epochs": 5}, r"train_cfg\.max_epochs 3 then, 5 now"),
    "model": ({"model__bad": {99: ("loss_b", 2.0)}}, r"model\.bad\.99"),
}


@pytest.mark.parametrize("key", CHANGES)
def test_r24_a_change_is_refused_by_name(strict: Make, tmp_path: Path, key: str) -> None:
    options, message = CHANGES[key]
    strict().train()
    with pytest.raises(ConfigError, match=rf"epoch_3\.pth was written by a run with other settings: .*{message}"):
        strict(resume=True, **options).train()


def test_r24_another_number_of_processes_is_refused(strict: Make, tmp_path: Path) -> None:
    strict().train()
    path = tmp_path / "epoch_3.pth"
    checkpoint = torch.load(path, weights_only=False)
    checkpoint["meta"][META] = json.dumps(json.loads(checkpoint["meta"][META]) | {"world_size": 8})
    torch.save(checkpoint, path)
    with pytest.raises(ConfigError, match=r"world_size 8 then, 1 now.*--allow-change world_size"):
        strict(resume=True).train()


def test_what_moves_no_number_may_change(strict: Make, tmp_path: Path) -> None:
    strict().train()
    strict(resume=True, train_dataloader__num_workers=1, train_cfg__val_interval=1).train()
    assert "This run is finished" in "".join(path.read_text() for path in tmp_path.rglob("*.log"))


def test_names_that_nothing_has_are_refused() -> None:
    with pytest.raises(ConfigError, match="--allow-change batch_size: a run has nothing of that name"):
        check_changes({"batch": 1}, {"batch": 1}, ["batch_size"], "x.pth")


def test_a_seed_that_is_not_set_is_the_checkpoints() -> None:
    assert not changes({"randomness.seed": 4}, {"randomness.seed": None})


def lr_of(path: Path) -> list[float]:
    return [group["lr"] for group in read_checkpoint(path)["optimizer"]["param_groups"]]


@pytest.mark.parametrize("by_epoch", [True, False], ids=["epochs", "iterations"])
def test_a_longer_run_follows_its_own_schedule(strict: Make, tmp_path: Path, by_epoch: bool) -> None:
    """The resumed run's learning rates are those of a run that was as long from the start."""
    key, length, end = ("max_epochs", 6, "epoch_6.pth") if by_epoch else ("max_iters", 20, "iter_20.pth")
    half = "epoch_5.pth" if by_epoch else "iter_16.pth"
    strict(by_epoch, work_dir=tmp_path / "run").train()
    long = {f"train_cfg__{key}": length}
    with pytest.raises(ConfigError, match=rf"train_cfg\.{key} "):
        strict(by_epoch, work_dir=tmp_path / "run", resume=True, **long).train()
    strict(by_epoch, work_dir=tmp_path / "run", resume=True, allow_change=["train_cfg"], **long).train()
    strict(by_epoch, work_dir=tmp_path / "long", **long).train()
    for name in (half, end):
        assert lr_of(tmp_path / "run" / name) == pytest.approx(lr_of(tmp_path / "long" / name), rel=1e-9)
    assert max(lr_of(tmp_path / "long" / half)) > 1e-4  # the schedule is not at its floor
    assert "this is no longer the run that was started" in "".join(p.read_text() for p in tmp_path.rglob("*.log"))


def test_an_allowed_change_takes_effect(strict: Make, tmp_path: Path) -> None:
    strict(train_cfg__max_epochs=2).train()
    options = {
        "optim_wrapper__optimizer__weight_decay": 0.3,
        "train_dataloader__batch_size": 8,
        "train_cfg__max_epochs": 3,
        "randomness__seed": 5,
    }
    allowed = ["optim_wrapper.optimizer.weight_decay", "batch", "train_cfg.max_epochs", "randomness.seed"]
    runner = strict(resume=True, allow_change=allowed, **options)
    runner.train()
    groups = read_checkpoint(tmp_path / "epoch_3.pth")["optimizer"]["param_groups"]
    assert {group["weight_decay"] for group in groups} == {0.0, 0.3}
    assert (runner.epoch, runner.iter, runner.seed) == (3, 6, 5)  # two batches of 8 an epoch
    assert groups[0]["initial_lr"] == pytest.approx(0.02)  # 0.01 for 4 pictures
    strict(work_dir=tmp_path / "fresh", **options).train()
    assert lr_of(tmp_path / "epoch_3.pth") == pytest.approx(lr_of(tmp_path / "fresh" / "epoch_3.pth"))


def test_facts_are_values_of_json(strict: Make) -> None:
    runner = strict()
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    facts = facts_of(runner)
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["batch"], facts["pictures"], facts["epoch_length"], facts["world_size"]) == (4, 16, 4, 1)


def test_where_a_run_goes_on_is_told_to_the_iteration(tmp_path: Path) -> None:
    assert train(drawing_config(tmp_path, True, 0, False, kill=5)) < 0
    assert train(drawing_config(tmp_path, True, 0, False, resume=True)) == 0
    log = "".join(path.read_text() for path in tmp_path.rglob("*.log"))
    assert "iter_3.pth: 0 of 3 epochs and 3 of 7 iterations of the next are done" in log


def test_a_new_run_does_not_begin_in_the_folder_of_another(strict: Make, tmp_path: Path) -> None:
    strict().train()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.pth")}
    with pytest.raises(FolderInUseError, match=r"holds the checkpoints of another run \(epoch_1\.pth, epoch_2\.pth"):
        strict().train()
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.pth")}


def test_r06_no_room_for_two_checkpoints_is_told_before_training(
    strict: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixedae.engine.hooks.checkpoints.free_bytes", lambda folder: 50)
    with pytest.raises(SaveError, match=r"50 bytes are free .*two checkpoints of about \d+ bytes"):
        strict().train()
    assert not list(tmp_path.glob("*.pth"))


def test_an_optimizer_of_another_kind_is_told(strict: Make, tmp_path: Path) -> None:
    strict().train()
    path = tmp_path / "epoch_3.pth"
    checkpoint = torch.load(path, weights_only=False)
    checkpoint["optimizer"]["param_groups"].append({"params": [], "lr": 1.0})
    torch.save(checkpoint, path)
    with pytest.raises(Exception, match=r"epoch_3\.pth: the state of its optimizer or schedule does not fit"):
        strict(resume=True).train()


def test_only_the_best_is_no_way_to_save(tmp_path: Path) -> None:
    from mixedae.engine.preflight.config import check_retention

    hook = {"type": "CheckpointHook", "interval": -1, "save_last": False, "save_best": "auto"}
    with pytest.raises(ConfigError, match="saves the best weights only"):
        check_retention(Config({"default_hooks": {"checkpoint": hook}}))
    check_retention(Config({"default_hooks": {"checkpoint": {**hook, "save_best": None}}}))
