"""Hooks in real toy runs: what ends a run, and what it leaves behind."""

import io
import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from mixedae.engine.hooks.progress import progress_line
from mixedae.errors import NonFiniteLossError
from mixedae.records import Progress
from mixedae.weights import read_state_dict

Make = Callable[..., Runner]


@pytest.mark.parametrize("by_epoch", [True, False], ids=["epochs", "iterations"])
@pytest.mark.parametrize(
    ("name", "value"), [("loss_a", "nan"), ("loss_a", "inf"), ("loss_b", "-inf"), ("accuracy", "nan")]
)
def test_a_component_that_is_not_finite_ends_the_run_at_once(
    make_runner: Make, tmp_path: Path, by_epoch: bool, name: str, value: str
) -> None:
    runner = make_runner(by_epoch, model__bad={8: (name, value)})  # a checkpoint would be due
    with pytest.raises(NonFiniteLossError) as error:
        runner.train()
    text = str(error.value)
    epoch = 2 if by_epoch else 1
    assert f"iteration 8 (epoch {epoch})" in text
    assert re.search(rf"{name}=-?(nan|inf)", text) and "loss_a=" in text and "loss_b=" in text and "accuracy=" in text
    assert runner.model.calls == 8
    last = (tmp_path / "last_checkpoint").read_text().split("/")[-1]
    assert last == ("epoch_1.pth" if by_epoch else "iter_6.pth")
    assert sorted(path.name for path in tmp_path.glob("*.pth"))[-1] == last
    assert not (tmp_path / "run_record.json").exists()
    assert json.loads((tmp_path / "progress.json").read_text())["phase"] == "train"
    assert all(torch.isfinite(tensor).all() for tensor in read_state_dict(tmp_path / last).values())


def test_bad_iterations_inside_accumulation_are_found_too(make_runner: Make) -> None:
    runner = make_runner(model__bad={2: ("loss_a", "nan")}, optim_wrapper__accumulative_counts=4)
    with pytest.raises(NonFiniteLossError, match="iteration 2 "):
        runner.train()


@pytest.mark.parametrize("by_epoch", [True, False], ids=["epochs", "iterations"])
def test_weights_that_are_not_finite_are_never_saved(make_runner: Make, tmp_path: Path, by_epoch: bool) -> None:
    """The step after the last loss can be the bad one."""
    runner = make_runner(by_epoch)
    runner.train_loop.run_iter_original = runner.train_loop.run_iter

    def run_iter(*args: object) -> None:
        if runner.model.calls == 3:
            runner.model.linear.weight.register_hook(lambda grad: grad * math.inf)
        runner.train_loop.run_iter_original(*args)

    runner.train_loop.run_iter = run_iter
    with pytest.raises(NonFiniteLossError, match=r"1 parameters are not finite.*linear\.weight"):
        runner.train()
    assert not (tmp_path / "epoch_1.pth").exists() and not (tmp_path / "iter_4.pth").exists()


@pytest.mark.parametrize("by_epoch", [True, False], ids=["epochs", "iterations"])
def test_record_and_progress_of_a_finished_run(make_runner: Make, tmp_path: Path, by_epoch: bool) -> None:
    runner = make_runner(by_epoch)
    runner.train()
    record = json.loads((tmp_path / "run_record.json").read_text())
    wall, memory = record.pop("wall_time_s"), record.pop("peak_memory_mb")
    assert 0 < wall < 60 and 50 < memory < 50_000
    mean = sum(float(runner.model.linear(runner.val_dataloader.dataset[i]["inputs"])) for i in range(7)) / 7
    assert record.pop("metrics") == {"toy/mean": pytest.approx(mean, rel=1e-5), "toy/n": 7}
    assert record == {
        "status": "finished",
        "num_val_images": 7,
        "iterations": 12 if by_epoch else 10,
        "epochs": 3 if by_epoch else 2.5,
        "effective_batch": 4,
        "lr": 0.01,
        "precision": "fp32",
        "world_size": 1,
        "accumulation": 1,
        "checkpoint": "epoch_3.pth" if by_epoch else "iter_10.pth",
        "load_report": None,
    }
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert progress.pop("metrics") == {"toy/mean": pytest.approx(mean, rel=1e-5), "toy/n": 7}
    loss, lr = progress.pop("loss"), progress.pop("lr")
    assert loss > 0 and 0 < lr <= 0.01
    assert progress == {
        "phase": "train",
        "epoch": 3 if by_epoch else None,
        "max_epochs": 3 if by_epoch else None,
        "iter": 12 if by_epoch else 10,
        "max_iters": 12 if by_epoch else 10,
        "eta_s": 0.0,
    }
    assert not list(tmp_path.glob(".*.tmp"))


def test_progress_is_written_at_every_iteration_when_asked(make_runner: Make, tmp_path: Path) -> None:
    runner = make_runner()
    hook = next(hook for hook in runner.hooks if type(hook).__name__ == "ProgressHook")
    hook.interval = 0.0
    seen = []
    original = hook._write

    def write(runner: Runner) -> None:
        original(runner)
        seen.append(json.loads((tmp_path / "progress.json").read_text()))

    hook._write = write
    runner.train()
    training = [state for state in seen if state["phase"] == "train" and state["eta_s"] is not None]
    assert [state["iter"] for state in training][:8] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert all(state["loss"] > 0 and state["lr"] >= 0 for state in training)
    assert {(state["epoch"], state["iter"]) for state in training} >= {(1, 4), (2, 5), (3, 12)}
    assert [state["iter"] for state in seen if state["phase"] == "val"] == [8, 12]
    assert all(state["eta_s"] >= 0 for state in training)


def test_progress_is_not_written_more_than_once_an_interval(make_runner: Make) -> None:
    runner = make_runner()
    hook = next(hook for hook in runner.hooks if type(hook).__name__ == "ProgressHook")
    hook.interval = 1000.0
    counts = []
    original = hook._write
    hook._write = lambda runner: (counts.append(runner.iter), original(runner))
    runner.train()
    assert len(counts) == 1 + 1 + 2 * 2 + 1  # start, first iteration, before and after two validations, end


def test_a_terminal_gets_one_line_kept_up_to_date(make_runner: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    runner = make_runner()
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    runner.train()
    shown = re.split(r"[\r\n]", terminal.getvalue())
    pattern = r"train  epoch \d/3  iter \d+/12  loss [\d.]+  lr [\d.e-]+  \d+s left"
    assert any(re.search(pattern, line) for line in shown)
    assert terminal.getvalue().endswith("\n")


def test_progress_line_without_epochs() -> None:
    state = Progress(iter=5, max_iters=10, lr=1e-3, eta_s=250.0)
    assert progress_line(state) == "train  iter 5/10  lr 0.001  4m10s left"


def test_a_run_without_validation_has_a_record_without_metrics(make_runner: Make, tmp_path: Path) -> None:
    make_runner(val_dataloader=None, val_cfg=None, val_evaluator=None).train()
    record = json.loads((tmp_path / "run_record.json").read_text())
    assert record["metrics"] == {} and record["num_val_images"] == 0 and record["status"] == "finished"


def test_an_interrupted_run_is_validated_when_resumed(make_runner: Make, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    runner = make_runner()
    runner.val_loop.run_iter = lambda *args: (_ for _ in ()).throw(Killed()) if runner.epoch == 3 else None
    runner.val_evaluator.evaluate = lambda size: {"toy/mean": -1.0}
    with pytest.raises(Killed):
        runner.train()
    assert (tmp_path / "epoch_3.pth").exists() and not (tmp_path / "run_record.json").exists()
    spent = torch.load(tmp_path / "epoch_3.pth", weights_only=False)["mixedae_wall_time_s"]
    assert spent > 0
    make_runner(resume=True).train()
    record = json.loads((tmp_path / "run_record.json").read_text())
    assert record["metrics"]["toy/n"] == 7 and record["iterations"] == 12 and record["wall_time_s"] >= spent


def test_training_checkpoints_of_a_real_run_are_read_as_data(make_runner: Make, tmp_path: Path) -> None:
    runner = make_runner()
    runner.train()
    state = read_state_dict(tmp_path / "epoch_3.pth")
    assert state.keys() == runner.model.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in runner.model.state_dict().items())


def test_val_and_test_without_training_leave_the_hooks_alone(make_runner: Make, tmp_path: Path) -> None:
    assert make_runner().val()["toy/n"] == 7
    assert not (tmp_path / "progress.json").exists() and not (tmp_path / "run_record.json").exists()
