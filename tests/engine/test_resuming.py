"""Every door for a checkpoint is strict: what is damaged, unsafe or foreign never becomes a run's weights."""

import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mixedae.engine import StrictRunner
from mixedae.errors import FolderInUseError, WeightsError
from mixedae.weights import read_state_dict
from tests.engine.conftest import toy_config

Make = Callable[..., Runner]
Weights = dict[str, torch.Tensor]


@pytest.fixture
def strict(make_runner: Make) -> Callable[..., StrictRunner]:
    return lambda *args, **changes: make_runner(*args, kind=StrictRunner, **changes)


@pytest.fixture
def run(strict: Callable[..., StrictRunner], tmp_path: Path) -> Iterator[Path]:
    """The folder of a finished run of three epochs."""
    strict(work_dir=tmp_path / "run").train()
    yield tmp_path / "run"


@pytest.fixture
def end(run: Path) -> Weights:
    """The final weights of the unbroken run."""
    return read_state_dict(run / "epoch_3.pth")


def log_of(folder: Path) -> str:
    return "".join(path.read_text() for path in sorted(folder.rglob("*.log")))


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    checkpoint = torch.load(path, weights_only=False)
    change(checkpoint)
    torch.save(checkpoint, path)


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    weight = read_state_dict(path)["linear.weight"]
    content[content.index(weight.numpy().tobytes()) + 1] ^= 1
    path.write_bytes(content)


def same(path: Path, expected: Weights) -> bool:
    found = read_state_dict(path)
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def killed_in_a_save(make: Callable[..., StrictRunner], folder: Path, name: str, written: bool) -> None:
    """A run that kills itself while it writes ``name``: a part of it, or all of it and not yet under its name."""
    original = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(target).name == name:
            if not written:
                Path(source).write_bytes(Path(source).read_bytes()[:100])
            os.kill(os.getpid(), signal.SIGKILL)
        original(source, target)

    os.replace = replace
    make(work_dir=folder).train()


@pytest.mark.parametrize("written", [True, False], ids=["whole", "part"])
def test_r01_a_run_killed_in_a_save_ends_as_the_unbroken_one(
    strict: Callable[..., StrictRunner], run: Path, end: Weights, tmp_path: Path, written: bool
) -> None:
    folder = tmp_path / "killed"
    arguments = (strict, folder, "epoch_2.pth", written)
    process = multiprocessing.get_context("fork").Process(target=killed_in_a_save, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert [path.name for path in folder.glob("*.pth")] == ["epoch_1.pth"] and len(list(folder.glob(".*.tmp"))) == 1
    strict(work_dir=folder, resume=True).train()
    assert f"resumed from {folder}/epoch_1.pth" in log_of(folder) and same(folder / "epoch_3.pth", end)
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_r04_a_truncated_checkpoint_is_named_and_the_one_before_is_taken(
    strict: Callable[..., StrictRunner], run: Path, end: Weights, share: float
) -> None:
    last = run / "epoch_3.pth"
    content = last.read_bytes()
    last.write_bytes(content[: int(share * len(content))])
    strict(work_dir=run, resume=True).train()
    log = log_of(run)
    assert f"passed over: checkpoint {last}" in log and ("is empty" in log or "is truncated or damaged" in log)
    assert f"resumed from {run}/epoch_2.pth: 2 of 3 epochs are done" in log
    assert same(last, end)


def test_r04_without_a_whole_checkpoint_each_reason_is_given(strict: Callable[..., StrictRunner], run: Path) -> None:
    for path in run.glob("*.pth"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"no checkpoint in .*run can.*epoch_3\.pth .*epoch_2\.pth .*epoch_1\.pth"):
        strict(work_dir=run, resume=True).train()
    for resume in (True, False):
        with pytest.raises(WeightsError, match=r"epoch_3\.pth .*truncated"):
            strict(work_dir=run.parent / "new", resume=resume, load_from=str(run / "epoch_3.pth")).train()


def test_r05_a_flipped_byte_is_found(strict: Callable[..., StrictRunner], run: Path, end: Weights) -> None:
    flip_a_byte(run / "epoch_3.pth")
    with pytest.raises(WeightsError, match=r"epoch_3\.pth .*checksum"):
        strict(work_dir=run.parent / "new", load_from=str(run / "epoch_3.pth")).train()
    strict(work_dir=run, resume=True).train()
    assert "checksum of record" in log_of(run) and same(run / "epoch_3.pth", end)


@pytest.mark.parametrize("pointer", [None, "", "nowhere.pth"])
def test_r07_the_folder_is_looked_at_and_not_its_pointer(
    strict: Callable[..., StrictRunner], run: Path, end: Weights, pointer: str | None
) -> None:
    (run / "epoch_3.pth").unlink()
    (run / "last_checkpoint").unlink()
    if pointer is not None:
        (run / "last_checkpoint").write_text(pointer)
    strict(work_dir=run, resume=True).train()
    assert f"resumed from {run}/epoch_2.pth" in log_of(run) and same(run / "epoch_3.pth", end)
    said = {None: "", "": "last_checkpoint in", "nowhere.pth": "last_checkpoint names nowhere.pth"}[pointer]
    assert said in log_of(run)


def test_r07_a_checkpoint_that_the_pointer_missed_is_taken(strict: Callable[..., StrictRunner], run: Path) -> None:
    (run / "last_checkpoint").write_text(str(run / "epoch_2.pth"))
    strict(work_dir=run, resume=True).train()
    assert f"resumed from {run}/epoch_3.pth: 3 of 3 epochs are done" in log_of(run)


def test_iterations_are_resumed_from_their_own_files(strict: Callable[..., StrictRunner], tmp_path: Path) -> None:
    strict(by_epoch=False).train()
    end = read_state_dict(tmp_path / "iter_10.pth")
    (tmp_path / "iter_10.pth").unlink()
    strict(by_epoch=False, resume=True).train()
    assert f"resumed from {tmp_path}/iter_8.pth: 8 of 10 iterations are done" in log_of(tmp_path)
    assert same(tmp_path / "iter_10.pth", end)


def test_nothing_to_resume_is_told_before_anything_is_written(
    strict: Callable[..., StrictRunner], tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=r"nothing to resume from: expected epoch_N\.pth in .*new, found nothing"):
        strict(work_dir=tmp_path / "new", resume=True)
    assert not (tmp_path / "new").exists()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "best_toy_epoch_2.pth").touch()
    with pytest.raises(WeightsError, match=r"found only best_toy_epoch_2\.pth"):
        strict(work_dir=tmp_path / "used", resume=True)


@pytest.mark.parametrize("resume", [True, False], ids=["resume", "load_from"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update({"linear.weight": torch.ones(1, 3)}), r"1 of another shape: linear\.weight \(1, 3\)"),
        (lambda s: s.pop("linear.bias"), r"1 missing: linear\.bias"),
        (lambda s: s.update(extra=torch.ones(1)), r"1 unexpected: extra"),
        (lambda s: (s.clear(), s.update(a=torch.ones(1), b=torch.ones(2))), r"2 missing: .*2 unexpected: a, b"),
    ],
    ids=["r08_shape", "missing", "unexpected", "r09_foreign"],
)
def test_weights_that_do_not_fit_are_refused(
    strict: Callable[..., StrictRunner], run: Path, resume: bool, change: Callable, message: str
) -> None:
    last = run / "epoch_3.pth"
    rewrite(last, lambda checkpoint: change(checkpoint["state_dict"]))
    folder = run if resume else run.parent / "new"
    runner = strict(work_dir=folder, resume=resume, load_from=None if resume else str(last))
    before = OrderedDict()
    original = runner._init_model_weights
    runner._init_model_weights = lambda: (original(), before.update(runner.model.state_dict()))
    with pytest.raises(WeightsError, match=rf"epoch_3\.pth .*{message}"):
        runner.train()
    assert all(torch.equal(before[name], value) for name, value in runner.model.state_dict().items())


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.marker}",)


def test_r20_a_pickled_object_is_not_run(strict: Callable[..., StrictRunner], run: Path, end: Weights) -> None:
    last, marker = run / "epoch_3.pth", run / "marker"
    rewrite(last, lambda checkpoint: checkpoint["meta"].update(x=Bomb(marker)))
    for resume in (True, False):
        with pytest.raises(WeightsError, match=r"epoch_3\.pth is refused as unsafe"):
            strict(work_dir=run.parent / "new", resume=resume, load_from=str(last)).train()
    strict(work_dir=run, resume=True).train()
    assert "epoch_3.pth is refused as unsafe" in log_of(run) and same(last, end)
    assert not marker.exists()


def test_r20_the_bomb_of_the_test_before_is_not_a_dud(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("key", ["config", "cfg"])
def test_r20_a_program_in_meta_is_not_run(strict: Callable[..., StrictRunner], run: Path, key: str) -> None:
    marker = run / "marker"
    program = f"open({str(marker)!r}, 'w').close()"
    rewrite(run / "epoch_2.pth", lambda checkpoint: checkpoint["meta"].update({key: program}))
    (run / "epoch_3.pth").unlink()
    strict(work_dir=run, resume=True).train()
    strict(work_dir=run.parent / "new", load_from=str(run / "epoch_2.pth")).train()
    assert not marker.exists()


def test_weights_from_the_network_are_refused(strict: Callable[..., StrictRunner]) -> None:
    with pytest.raises(WeightsError, match="download it first"):
        strict(load_from="https://example.org/x.pth").train()


def test_the_best_checkpoint_is_not_resumed_from(strict: Callable[..., StrictRunner], tmp_path: Path) -> None:
    strict(default_hooks__checkpoint__save_best="toy/n", default_hooks__checkpoint__rule="greater").train()
    best = tmp_path / "best_toy_n_epoch_2.pth"
    with pytest.raises(WeightsError, match=r"best_toy_n_epoch_2\.pth cannot be resumed from, it has no optimizer"):
        strict(resume=True, load_from=str(best)).train()
    strict(work_dir=tmp_path / "new", load_from=str(best)).train()


def test_a_copied_run_goes_on_from_its_own_file(
    strict: Callable[..., StrictRunner], run: Path, end: Weights, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "epoch_3.pth").unlink()
    strict(work_dir=copy, resume=True).train()
    log = log_of(copy)
    assert f"last_checkpoint names {run}/epoch_3.pth, which is in another folder and is not followed" in log
    assert f"resumed from {copy}/epoch_2.pth" in log and same(copy / "epoch_3.pth", end)


def test_what_an_earlier_run_left_is_passed_over(strict: Callable[..., StrictRunner], run: Path) -> None:
    (run / "last_checkpoint").write_text(str(run / "epoch_2.pth"))
    now = (run / "epoch_2.pth").stat().st_mtime
    os.utime(run / "epoch_3.pth", (now - 100, now - 100))
    strict(work_dir=run, resume=True).train()
    log = log_of(run)
    assert "epoch_3.pth is older than epoch_2.pth, which last_checkpoint names" in log
    assert f"resumed from {run}/epoch_2.pth" in log


def test_a_finished_run_says_so_and_stays(strict: Callable[..., StrictRunner], run: Path, end: Weights) -> None:
    before = (run / "epoch_3.pth").stat().st_mtime_ns
    strict(work_dir=run, resume=True).train()
    assert f"This run is finished, nothing is left to train; its checkpoint is {run}/epoch_3.pth" in log_of(run)
    assert (run / "epoch_3.pth").stat().st_mtime_ns == before and same(run / "epoch_3.pth", end)
    assert (run / "run_record.json").is_file()


def test_checkpoints_in_a_folder_of_their_own_are_found(strict: Callable[..., StrictRunner], tmp_path: Path) -> None:
    changes = {"default_hooks__checkpoint__out_dir": str(tmp_path / "checkpoints"), "work_dir": tmp_path / "run"}
    strict(**changes).train()
    (tmp_path / "checkpoints" / "run" / "epoch_3.pth").unlink()
    strict(**changes, resume=True).train()
    assert f"resumed from {tmp_path}/checkpoints/run/epoch_2.pth" in log_of(tmp_path / "run")


def test_r34_a_runner_does_not_train_in_a_folder_in_use(strict: Callable[..., StrictRunner], tmp_path: Path) -> None:
    runner = strict()
    code = (
        f"import time\nfrom mixedae.occupancy import occupied\nwith occupied({str(tmp_path)!r}):\n"
        "    print('held', flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(FolderInUseError, match=f"process {other.pid} on "):
            runner.train()
        assert not list(tmp_path.glob("*.pth"))
        other.kill()
    runner.train()
    assert (tmp_path / "epoch_3.pth").is_file()


def test_a_recipe_may_name_the_runner(make_runner: Make, tmp_path: Path) -> None:
    cfg = toy_config(tmp_path, runner_type="mixedae.StrictRunner", experiment_name="named")
    assert type(RUNNERS.build(cfg)) is StrictRunner


@pytest.mark.parametrize("fault", [None, "bomb", "other", "resume"])
def test_a_command_that_builds_mmengines_runner_loads_strictly_too(
    fault: str | None, make_runner: Make, run: Path, tmp_path: Path
) -> None:
    """mmseg's test.py passes over ``runner_type``; a hook of the recipes loads before mmengine would."""
    path, marker = run / "epoch_3.pth", tmp_path / "marker"
    if fault == "bomb":
        rewrite(path, lambda checkpoint: checkpoint.update(bomb=Bomb(marker)))
    if fault == "other":
        rewrite(path, lambda checkpoint: checkpoint["state_dict"].popitem())
    hooks = [dict(type="mixedae.StrictLoadingHook")]
    runner = make_runner(work_dir=tmp_path / "new", load_from=str(path), resume=fault == "resume", custom_hooks=hooks)
    if fault is not None:
        with pytest.raises(WeightsError):
            runner.train()
        assert not marker.exists()
        return
    runner.call_hook("before_run")
    weights = read_state_dict(path)
    assert all(torch.equal(weights[name], value) for name, value in runner.model.state_dict().items())
