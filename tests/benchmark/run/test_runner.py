"""Running a suite: isolation of failures, interrupts at any point, two processes at once, resuming, adopting."""

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.launch import Launch
from mixedae.benchmark.run.lock import FileLock
from mixedae.benchmark.run.process import failure_reason
from mixedae.benchmark.run.training import Plan
from mixedae.benchmark.store.results import Result, read_result
from mixedae.benchmark.store.workspace import Workspace
from mixedae.files import write_json
from tests.benchmark.conftest import start, wait_for, words
from tests.benchmark.fake_suite import FakeSuite, renderings

CLS, DET, PRE = Cell("mae", "cls", 0), Cell("mae", "det", 0), Cell("mae", None, 0)


def test_result_holds_what_the_schema_promises(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path)
    status, runner = suite.run()
    assert status == 0
    result = read_result(suite.folder / CLS.name)
    assert result is not None and result.run is not None
    parent = read_result(suite.folder / PRE.name)
    assert parent is not None and parent.checkpoint is not None
    assert result.identity.weights_sha256 == parent.checkpoint.sha256
    assert (result.status, result.n, result.run.lr, result.run.world_size) == ("ok", 20, 1e-3, 1)
    assert result.values.keys() == {"accuracy/top1"}
    assert result.provenance.packages["torch"] and result.provenance.hardware["cores"] >= 1
    assert result.command[2:] == (
        str(tmp_path / "cls.py"),
        "--work-dir",
        str(suite.folder / CLS.name),
        "--cfg-options",
        "randomness.seed=0",
        f"model.backbone.init_cfg.checkpoint={suite.folder / PRE.name}/epoch_2.pth",
    )
    assert read_result(suite.folder / "random/cls/seed_0").identity.weights_sha256 is None  # type: ignore[union-attr]
    assert runner.command(Cell("random", "cls", 0))[-1] == "model.backbone.init_cfg.checkpoint=random"


def test_a_path_that_mmengine_would_mangle_is_refused(tmp_path: Path) -> None:
    """--cfg-options drops blanks from values: the weights would not be found, after minutes."""
    suite = FakeSuite(tmp_path)
    status, runner = suite.run(only="mae", folder=tmp_path / "my work")
    assert status == 1 and runner.views[PRE].state == "done"
    assert "ConfigError" in runner.views[CLS].reason and "--work-dir" in runner.views[CLS].reason


def test_a_failed_cell_costs_only_itself(tmp_path: Path, journal: Path) -> None:
    suite = FakeSuite(tmp_path)
    suite.write_config("det", fail="error: WeightsError: 3 keys are missing")
    status, runner = suite.run()
    assert status == 1
    states = {cell.name: view.state for cell, view in runner.views.items()}
    assert {name for name, state in states.items() if state == "failed"} == {n for n in states if "/det/" in n}
    assert runner.views[DET].reason == "WeightsError: 3 keys are missing"
    entry = suite.comparison().rows[1].entries[1]
    assert entry.missing == {0: "failed: WeightsError: 3 keys are missing"}
    suite.write_config("det")  # repaired: only what failed runs
    journal.unlink()
    assert suite.run()[0] == 0
    assert {name for name, *_ in words(journal, "start")} == {n for n in states if "/det/" in n}


def test_transfers_of_a_failed_pretraining_are_not_run(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path)
    suite.write_config("mae", fail="ValueError: no")
    status, runner = suite.run()
    assert status == 1
    assert runner.views[CLS].state == "blocked"
    assert runner.views[CLS].reason == "not run: pre-training failed (ValueError: no)"
    assert runner.views[Cell("mixedae", "cls", 0)].state == "done"
    assert suite.comparison().rows[1].entries[0].missing == {0: "not run: pre-training failed (ValueError: no)"}


@pytest.mark.parametrize(
    ("fake", "reason"),
    [
        ({"silent": True}, "the trainer ended without run_record.json"),
        ({"effective_batch": 16}, "the run's effective batch was 16, the recipe's is 8"),
        ({"iterations": 0}, "the run made no training step"),
        ({"metrics": {"mIoU": 1.0}}, "no `accuracy/top1`; it measured: mIoU"),
        ({"metrics": {"accuracy/top1": -1.0}}, "expected a finite number"),
    ],
)
def test_a_run_that_contradicts_its_plan_fails(tmp_path: Path, fake: dict[str, object], reason: str) -> None:
    suite = FakeSuite(tmp_path)
    suite.write_config("cls", **fake)
    status, runner = suite.run(only="random/cls")
    assert status == 1
    assert reason in runner.views[Cell("random", "cls", 0)].reason


def test_frozen_features_take_no_training_step(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path)
    suite.write_config("cls", iterations=0)
    (tmp_path / "cls.py").open("a").write("train_cfg = dict(type='mixedae.KNNProbeLoop')\n")
    assert suite.run(only="random/cls")[0] == 0
    assert suite.comparison().rows[0].entries[0].values


def test_nothing_detected_is_zero_and_another_count_of_images_is_noted(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path)
    suite.write_config("det", metrics={})
    (tmp_path / "det.py").open("a").write("images = 7\n")
    assert suite.run(only="random/det")[0] == 0
    comparison = suite.comparison()
    assert comparison.rows[0].entries[1].values == {0: 0.0}
    assert "DET: measured on 7 images; the card says 20." in comparison.footnotes


def test_old_records_are_never_taken_for_new_ones(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path)
    assert suite.run()[0] == 0
    suite.write_config("cls", silent=True)  # exits 0, but leaves nothing
    assert suite.run()[0] == 1
    assert suite.comparison().rows[1].entries[0].values == {}


def test_foreign_files_are_not_deleted(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path)
    precious = suite.folder / "mae/pretrain/seed_0/thesis.tex"
    precious.parent.mkdir(parents=True)
    precious.write_text("years of work")
    status, runner = suite.run()
    assert status == 1 and "did not write" in runner.views[PRE].reason
    assert precious.read_text() == "years of work"


def test_a_users_file_in_a_cells_folder_outlives_another_run(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path)
    assert suite.run()[0] == 0
    folder = suite.folder / "mae/pretrain/seed_0"
    own = [folder / "notes.txt", folder / "thesis" / "chapter.tex", folder / "exported.safetensors"]
    for path in own:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    (folder / "epoch_9.pth").touch()
    assert suite.run(only="mae/pretrain/seed_0", force=True)[0] == 0
    assert all(path.read_text() == "mine" for path in own) and not (folder / "epoch_9.pth").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_even_hanging_children_and_leaves_nothing_half_written(
    tmp_path: Path, journal: Path, number: signal.Signals
) -> None:
    suite = FakeSuite(tmp_path)
    suite.write_config("cls", hang=True)
    harness = start(suite)
    wait_for(lambda: any("/cls/" in name for name, *_ in words(journal, "start")))
    before = {path: path.read_bytes() for path in suite.folder.rglob("result.json")}
    harness.send_signal(number)
    out = harness.communicate(timeout=20)[0]
    assert harness.returncode == 128 + number
    assert "interrupted" in out and "Traceback" not in out
    assert {path: path.read_bytes() for path in suite.folder.rglob("result.json")} == before
    assert not list(suite.folder.rglob("*.tmp"))
    for lock in suite.folder.rglob(".lock"):  # no child is left
        assert FileLock(lock).acquire()


@pytest.mark.train
def test_killed_and_continued_equals_uninterrupted(tmp_path: Path, journal: Path) -> None:
    """kill -9 and Ctrl-C at random points, until it is done: the same table, and no two trainers ever in one folder."""
    suite = FakeSuite(tmp_path, seeds=(0, 1), workers=2)
    for name in ("mae", "mixedae", "cls", "det"):
        suite.write_config(name, sleep=0.05, epochs=3)
    assert suite.run(folder=tmp_path / "whole")[0] == 0
    chance = random.Random(0)
    for number in [signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGKILL]:
        done = len(words(journal, "end"))
        harness = start(suite)
        wait_for(lambda done=done: len(words(journal, "end")) > done)
        time.sleep(chance.random() * 0.3)
        harness.send_signal(number)
        harness.wait(timeout=20)
    harness = start(suite)
    out = harness.communicate(timeout=60)[0]
    assert harness.returncode == 0, out
    killed, whole = suite.comparison(), suite.comparison(folder=tmp_path / "whole")
    assert killed.rows == whole.rows and killed.columns == whole.columns
    # Whoever commits in this checkout meanwhile makes another version of the code: those notes may differ.
    # Neither is how often a cell was resumed a difference of the numbers.
    notes = [
        [note for note in comparison.footnotes if "code" not in note and "resumed: " not in note]
        for comparison in (killed, whole)
    ]
    assert notes[0] == notes[1]
    assert not words(journal, "COLLISION")


@pytest.mark.train
def test_two_processes_share_a_suite(tmp_path: Path, journal: Path) -> None:
    """Each cell is run once, by one of them; both end well."""
    suite = FakeSuite(tmp_path, workers=2)
    for name in ("mae", "mixedae", "cls", "det"):
        suite.write_config(name, sleep=0.1)
    both = [start(suite), start(suite)]
    outs = [harness.communicate(timeout=60)[0] for harness in both]
    assert [harness.returncode for harness in both] == [0, 0], outs
    names = [name for name, *_ in words(journal, "start")]
    assert sorted(names) == sorted(set(names)) and len(names) == 8
    assert not words(journal, "COLLISION")
    assert all("8/8 cells done" in out for out in outs)


@pytest.mark.train
def test_two_processes_run_a_failing_cell_once(tmp_path: Path, journal: Path) -> None:
    suite = FakeSuite(tmp_path)
    suite.write_config("mae", fail="ValueError: no", until=str(tmp_path / "go"))
    suite.write_suite(tasks=["cls"], pretrainings={"mae": {"config": str(tmp_path / "mae.py")}})
    both = [start(suite), start(suite)]
    for harness in both:
        assert harness.stdout is not None and harness.stdout.readline()  # its first line: the suite has started
    (tmp_path / "go").touch()
    assert [harness.wait(timeout=60) for harness in both] == [1, 1]
    assert len(words(journal, "start")) == 1


@pytest.mark.train
def test_interrupted_pretraining_resumes_and_changed_one_does_not(tmp_path: Path, journal: Path) -> None:
    suite = FakeSuite(tmp_path)
    suite.write_config("mae", sleep=0.15, epochs=4)

    def interrupt() -> None:
        journal.unlink(missing_ok=True)
        harness = start(suite)
        wait_for(lambda: ["mae/pretrain/seed_0", "2"] in words(journal, "epoch"))
        harness.send_signal(signal.SIGINT)
        harness.wait(timeout=20)
        journal.unlink()

    interrupt()
    assert suite.run(only="mae/pretrain")[0] == 0
    assert [how for _, how, _ in words(journal, "start")] == ["resume"]
    assert [int(epoch) for _, epoch in words(journal, "epoch")][-1] == 4 and len(words(journal, "epoch")) <= 2
    assert read_result(suite.folder / PRE.name).notes  # type: ignore[union-attr]
    suite.write_config("mae", sleep=0.15, epochs=5)
    interrupt()
    suite.write_config("mae", sleep=0.15, epochs=3)
    assert suite.run(only="mae/pretrain")[0] == 0
    assert [how for _, how, _ in words(journal, "start")] == ["anew"]
    assert len(words(journal, "epoch")) == 3


def test_a_resume_that_fails_starts_anew(tmp_path: Path, journal: Path) -> None:
    suite = FakeSuite(tmp_path)
    suite.write_config("mae", break_resume=True, fail="error: DataError: once")
    assert suite.run(only="mae/pretrain")[0] == 1
    folder = suite.folder / PRE.name
    (folder / "epoch_1.pth").write_text("damaged")
    (folder / "last_checkpoint").write_text(str(folder / "epoch_1.pth"))
    journal.unlink()
    suite.run(only="mae/pretrain")
    assert [how for _, how, _ in words(journal, "start")] == ["resume", "anew"]


def test_a_run_that_outlived_its_harness_is_adopted(tmp_path: Path, journal: Path) -> None:
    suite = FakeSuite(tmp_path)
    assert suite.run()[0] == 0
    before = suite.comparison()
    (suite.folder / CLS.name / "result.json").unlink()
    journal.unlink()
    assert suite.run()[0] == 0
    assert words(journal, "start") == [] and suite.comparison() == before
    # Not when it was made of something else.
    (suite.folder / CLS.name / "result.json").unlink()
    attempt = suite.folder / CLS.name / "attempt.json"
    write_json(attempt, json.loads(attempt.read_text()) | {"key": "0" * 64})
    assert suite.run()[0] == 0
    assert [name for name, *_ in words(journal, "start")] == [CLS.name]


def test_an_orphan_keeps_its_cell(tmp_path: Path) -> None:
    """The lock lives in the child: whoever inherits the descriptor holds it, also after the harness is gone."""
    lock = FileLock(tmp_path / ".lock")
    assert lock.acquire()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock.fileno,))
    lock._file.close()  # as death closes it
    assert not FileLock(tmp_path / ".lock").acquire()
    assert str(os.getpid()) in FileLock(tmp_path / ".lock").holder()
    child.communicate(b"\n")
    assert FileLock(tmp_path / ".lock").acquire()


def test_threads_are_shared_between_workers(tmp_path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixedae.benchmark.run.runner.cores", lambda: 6)
    FakeSuite(tmp_path, workers=3).run(only="random/cls")
    assert words(journal, "start")[0][2] == "2"


def test_threads_are_shared_between_the_processes_of_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixedae.benchmark.run.runner.cores", lambda: 8)
    given: list[int] = []

    def only_look(workspace: Workspace, threads: int) -> dict[str, str]:
        given.append(threads)
        raise OSError("started nothing")

    monkeypatch.setattr("mixedae.benchmark.run.runner.environment", only_look)
    FakeSuite(tmp_path, workers=2).run(only="random/cls", launch=Launch(kind="torchrun", processes=2))
    assert given == [2]


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (1, "x\nerror: DataError: data/mini does not exist\n", "DataError: data/mini does not exist"),
        (1, "Traceback\n  File\ntorch.OutOfMemoryError: CUDA\n[W] bye\n", "torch.OutOfMemoryError: CUDA"),
        (
            1,
            "error: NonFiniteLossError: nan\nTraceback\n"
            "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n=====\ntrain.py FAILED\n",
            "NonFiniteLossError: nan",
        ),
        (1, "error: NonFiniteLossError: nan\ntorch.distributed.DistBackendError: NCCL\n", "NonFiniteLossError: nan"),
        (
            1,
            "process 1: error: DataError: a.jpg (its log: b)\nerror: ProcessLostError: process 1 did not answer\n",
            "DataError: a.jpg (its log: b)",
        ),
        (
            1,
            "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \nFailures:\n"
            "  rank      : 0 (local_rank: 0)\n  exitcode  : 1 (pid: 7)\n"
            "Root Cause (first observed failure):\n[0]:\n  time      : now\n"
            "  rank      : 1 (local_rank: 1)\n  exitcode  : -9 (pid: 8)\n",
            "process 1 was killed by SIGKILL: the system may have run out of memory",
        ),
        (3, "something odd\n\n", "exit status 3: something odd"),
        (2, "", "exit status 2: no output"),
        (-9, "x", "killed (SIGKILL): the system may have run out of memory"),
        (-11, "x", "killed by SIGSEGV"),
    ],
)
def test_reason_of_a_failure(tmp_path: Path, status: int, text: str, reason: str) -> None:
    log = tmp_path / "log.txt"
    log.write_text("noise\n" * 50000 + text)
    if not text:
        log.write_text("")
    assert failure_reason(status, log) == reason


def test_config_and_data_are_read_again_when_a_cell_starts(tmp_path: Path) -> None:
    """A recipe that is edited while the suite runs is recorded as what the child read."""
    suite = FakeSuite(tmp_path)
    before = suite.survey().identity(Cell("random", "cls", 0))
    suite.write_config("cls", value="edited")
    suite.run(only="random/cls")
    recorded = read_result(suite.folder / "random/cls/seed_0").identity  # type: ignore[union-attr]
    assert recorded != before and recorded == suite.survey().identity(Cell("random", "cls", 0))


def test_a_metric_that_nobody_asked_for_may_be_anything(tmp_path: Path) -> None:
    """pycocotools gives NaN and -1 where there is no ground truth; the result must read back."""
    suite = FakeSuite(tmp_path)
    suite.write_config("cls")
    config = tmp_path / "cls.py"
    config.write_text(
        config.read_text() + "fake['metrics'] = {'accuracy/top1': 1.0, 'a': float('nan'), 'b': [1], 'c': 'x'}\n"
    )
    assert suite.run(only="random/cls")[0] == 0
    result = read_result(suite.folder / "random/cls/seed_0")
    assert result is not None and result.run is not None and math.isnan(result.run.metrics["a"])
    assert result.run.metrics["b"] == [1]


def test_absent_data_fails_the_cells_that_read_it(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path)
    shutil.rmtree(suite.root / "data" / "pretrain")
    status, runner = suite.run()
    assert status == 1 and "DataError" in runner.views[PRE].reason
    assert runner.views[Cell("random", "cls", 0)].state == "done"


def test_force_runs_what_is_done_and_only_that(tmp_path: Path, journal: Path) -> None:
    suite = FakeSuite(tmp_path)
    assert suite.run()[0] == 0
    before = suite.comparison()
    journal.unlink()
    assert suite.run(only="mae/cls/seed_0", force=True)[0] == 0
    assert [(name, how) for name, how, _ in words(journal, "start")] == [(CLS.name, "anew")]
    journal.unlink()
    assert suite.run(only="mae/pretrain/seed_0", force=True)[0] == 0
    assert [(name, how) for name, how, _ in words(journal, "start")] == [(PRE.name, "anew")]
    assert suite.comparison() == before  # the same weights came out: the transfers still hold


def test_retries_start_a_failing_cell_again(tmp_path: Path, journal: Path) -> None:
    suite = FakeSuite(tmp_path)
    suite.write_config("cls", fail="error: DataError: the disk hiccups", fail_times=2)
    status, runner = suite.run(only="random/cls", retries=1)
    assert status == 1 and runner.views[Cell("random", "cls", 0)].state == "failed"
    assert len(words(journal, "start")) == 2
    journal.unlink()
    assert suite.run(only="random/cls", retries=2)[0] == 0
    assert len(words(journal, "start")) == 3


def test_what_changed_meanwhile_is_not_tried_again(
    tmp_path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second try would land under the first one's identity."""
    suite = FakeSuite(tmp_path)
    suite.write_config("cls", fail="error: DataError: the disk hiccups", fail_times=1)
    conclude = Plan.conclude

    def edited(plan: Plan, *found: Any) -> Result:
        suite.write_config("cls", value="edited")
        return conclude(plan, *found)

    monkeypatch.setattr(Plan, "conclude", edited)
    status, runner = suite.run(only="random/cls", retries=1)
    assert status == 1 and len(words(journal, "start")) == 1
    reason = runner.views[Cell("random", "cls", 0)].reason
    assert "not tried again: the recipe changed meanwhile" in reason and "start the suite again" in reason


def test_a_limited_run_never_stands_for_a_full_one(tmp_path: Path, journal: Path) -> None:
    suite = FakeSuite(tmp_path)
    assert suite.run(limit=3)[0] == 0
    limited, full = suite.workspace(limit=3), suite.workspace()
    assert limited.folder != full.folder and not full.folder.exists()
    result = read_result(limited.dir(CLS))
    assert result is not None and (result.status, result.identity.limit) == ("limited", 3)
    assert "train_cfg.max_iters=3" in result.command
    for text in renderings(suite.comparison(limit=3)).values():
        assert "LIMITED to 3 iterations" in text
    shutil.copytree(limited.folder, full.folder)  # even where somebody puts it there
    assert {state.kind for state in suite.survey().states().values()} == {"stale", "waiting"}
    assert "the limit" in suite.state(Cell("random", "cls", 0)).reason
    assert suite.comparison().rows[0].entries[0].values == {}
    assert suite.run(limit=4)[0] == 0 and len(words(journal, "start")) == 16  # nor for another limit


def test_an_adopted_result_carries_the_code_that_made_it(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path)
    assert suite.run(only="random/cls")[0] == 0
    cell = Cell("random", "cls", 0)
    folder = suite.folder / cell.name
    (folder / "result.json").unlink()
    attempt = json.loads((folder / "attempt.json").read_text())
    attempt["provenance"] |= {"commit": "f" * 40, "dirty": False}
    write_json(folder / "attempt.json", attempt)
    _, runner = suite.run(only="random/cls")
    result = read_result(folder)
    assert result is not None and result.provenance.commit == "f" * 40 and runner.provenance.commit != "f" * 40
    notes = " ".join(suite.comparison().footnotes)
    assert "were made by another version (ffffffffff)" in notes and "The code is" in notes
    (folder / "result.json").unlink()
    del attempt["provenance"]  # of a harness that did not note it yet
    write_json(folder / "attempt.json", attempt)
    suite.run(only="random/cls")
    assert any("a harness that was killed" in note for note in suite.comparison().footnotes)


def test_a_clock_that_was_set_back_does_not_decide(tmp_path: Path, journal: Path) -> None:
    """The result on disk is of tomorrow: --force runs the cell all the same."""
    suite = FakeSuite(tmp_path)
    assert suite.run()[0] == 0
    path = suite.folder / "mae/cls/seed_0" / "result.json"
    result = json.loads(path.read_text())
    result["started"] = result["finished"] = "2099-01-01T00:00:00Z"
    path.write_text(json.dumps(result))
    before = len(words(journal, "start"))
    assert suite.run(only="mae/cls/seed_0", force=True)[0] == 0
    assert len(words(journal, "start")) == before + 1
    assert not json.loads(path.read_text())["finished"].startswith("2099")


@pytest.mark.parametrize("where", ["values", "run"])
def test_a_value_that_was_edited_by_hand_is_noticed(tmp_path: Path, where: str) -> None:
    suite = FakeSuite(tmp_path)
    assert suite.run()[0] == 0
    path = suite.folder / "mae/cls/seed_0" / "result.json"
    result = json.loads(path.read_text())
    values = result["values"] if where == "values" else result["run"]["metrics"]
    values["accuracy/top1"] += 10
    path.write_text(json.dumps(result))
    state = suite.state(Cell("mae", "cls", 0))
    assert state.kind == "damaged" and "top-1 is" in state.reason and "its run measured" in state.reason
