"""R36: a save never leaves fewer whole checkpoints than the recipe keeps, and removes no file of another run."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mixedae.engine import StrictRunner

Make = Callable[..., Runner]
KEEP = {"default_hooks__checkpoint__max_keep_ckpts": 2, "train_cfg__max_epochs": 5}
BEST = {"default_hooks__checkpoint__save_best": "toy/mean", "train_cfg__val_interval": 1}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.pth"))


def watched(runner: Runner) -> list[list[str]]:
    """What is there each time that a checkpoint is about to be written."""
    seen: list[list[str]] = []
    original = runner.save_checkpoint

    def save(*args: object, **keys: object) -> None:
        seen.append(names(Path(runner.work_dir)))
        original(*args, **keys)

    runner.save_checkpoint = save
    return seen


@pytest.mark.parametrize(("kind", "least"), [(StrictRunner, 2), (Runner, 1)], ids=["ours", "mmengine"])
def test_r36_two_checkpoints_are_there_while_the_next_is_written(
    make_runner: Make, tmp_path: Path, kind: type[Runner], least: int
) -> None:
    runner = make_runner(kind=kind, **KEEP)
    seen = watched(runner)
    runner.train()
    assert [len(found) for found in seen] == [0, 1, *[least] * 3]
    assert names(tmp_path) == ["epoch_4.pth", "epoch_5.pth"]


def test_r36_after_a_failed_save_the_old_ones_are_there(make_runner: Make, tmp_path: Path) -> None:
    runner = make_runner(kind=StrictRunner, **KEEP)
    original = runner.save_checkpoint

    def save(*args: object, **keys: object) -> None:
        if runner.epoch + 1 == 4:
            raise OSError("no space")
        original(*args, **keys)

    runner.save_checkpoint = save
    with pytest.raises(OSError, match="no space"):
        runner.train()
    assert names(tmp_path) == ["epoch_2.pth", "epoch_3.pth"]
    make_runner(kind=StrictRunner, **KEEP, resume=True).train()
    assert names(tmp_path) == ["epoch_4.pth", "epoch_5.pth"]


@pytest.mark.parametrize("rule", ["greater", "less"])
def test_the_best_one_is_kept_until_a_better_one_is_written(make_runner: Make, tmp_path: Path, rule: str) -> None:
    folders = {}
    for kind in (Runner, StrictRunner):
        folder = tmp_path / kind.__name__
        runner = make_runner(work_dir=folder, kind=kind, **KEEP, **BEST, default_hooks__checkpoint__rule=rule)
        seen = watched(runner)
        runner.train()
        folders[kind] = names(folder)
    assert folders[Runner] == folders[StrictRunner]
    first = next(i for i, found in enumerate(seen) if any(name.startswith("best") for name in found))
    assert all(any(name.startswith("best") for name in found) for found in seen[first:])


def test_a_copied_run_leaves_the_best_one_of_the_original(make_runner: Make, tmp_path: Path) -> None:
    run, copy = tmp_path / "run", tmp_path / "copy"
    rules = [dict(BEST, default_hooks__checkpoint__rule=rule) for rule in ("greater", "less")]
    for i, changes in enumerate(rules):  # in one of the two the mean improves in the last epochs
        make_runner(work_dir=run / str(i), kind=StrictRunner, **changes).train()
        shutil.copytree(run / str(i), copy / str(i))
        (copy / str(i) / "epoch_3.pth").unlink()
        before = names(run / str(i))
        make_runner(work_dir=copy / str(i), kind=StrictRunner, **changes, resume=True).train()
        assert names(run / str(i)) == before


def test_another_hook_or_none_is_left_alone(make_runner: Make, tmp_path: Path) -> None:
    runner = make_runner(work_dir=tmp_path / "none", kind=StrictRunner, default_hooks={"checkpoint": None})
    assert not any(isinstance(hook, CheckpointHook) for hook in runner.hooks)
