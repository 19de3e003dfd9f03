"""Cells as jobs: through submitit's local executor and a stand-in for sbatch."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.launch import Launch
from mixedae.benchmark.run.board import Board
from mixedae.benchmark.store.results import read_result
from mixedae.benchmark.store.survey import Survey
from mixedae.errors import LauncherError
from tests.benchmark.fake_suite import POLL, TRAINER, FakeSuite, SearchedSuite

CLS, PRE = Cell("mae", "cls", 0), Cell("mae", None, 0)


def test_slurm_needs_submitit_and_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mixedae.benchmark.run.cluster import executor

    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(LauncherError, match="pip install submitit"):
        executor(Launch(kind="slurm"), tmp_path)
    monkeypatch.undo()
    pytest.importorskip("submitit")
    with pytest.raises(LauncherError, match="timeout_min"):
        executor(Launch(kind="slurm"), tmp_path)


def cluster_run(suite: FakeSuite, launch: Launch, only: str | None = None) -> tuple[int, Any]:
    from mixedae.benchmark.run.cluster import ClusterRunner

    workspace = suite.workspace(launch=launch)
    runner = ClusterRunner(workspace, Board(), TRAINER, poll=POLL)
    return runner.run(workspace.suite.select(workspace.cells, only)), runner


@pytest.fixture
def local() -> Launch:
    pytest.importorskip("submitit", reason="submitit is not installed")
    return Launch(kind="slurm", cluster="local")


@pytest.mark.train
def test_jobs_give_the_table_that_local_runs_give(tmp_path: Path, local: Launch, monkeypatch: Any) -> None:
    """A transfer starts after its pre-training has ended, and the second run finds everything done."""
    monkeypatch.setenv("FAKE_JOURNAL", str(tmp_path / "journal"))
    suite = FakeSuite(tmp_path)
    status, runner = cluster_run(suite, local, only="mae")
    assert status == 0, {cell.name: view.reason for cell, view in runner.views.items()}
    lines = [line.split()[:2] for line in (tmp_path / "journal").read_text().splitlines()]
    assert lines.index(["end", PRE.name]) < lines.index(["start", CLS.name])
    values = {cell: read_result(suite.folder / cell.name).values for cell in (CLS, PRE)}  # type: ignore[union-attr]
    assert suite.run(only="mae", folder=tmp_path / "local")[0] == 0
    assert values == {cell: read_result(tmp_path / "local" / cell.name).values for cell in (CLS, PRE)}  # type: ignore[union-attr]
    assert cluster_run(suite, local, only="mae")[0] == 0
    assert len((tmp_path / "journal").read_text().split("start mae/cls")) == 3  # once as a job, once locally


@pytest.mark.train
def test_a_failed_job_says_why_and_blocks_its_transfers(tmp_path: Path, local: Launch) -> None:
    suite = FakeSuite(tmp_path)
    suite.write_config("mae", fail="error: DataError: no pictures")
    status, runner = cluster_run(suite, local, only="mae/cls")
    assert status == 1 and runner.views[PRE].reason == "DataError: no pictures"
    assert (runner.views[CLS].state, runner.views[CLS].reason[:7]) == ("blocked", "not run")


@pytest.mark.train
def test_the_job_of_a_searched_task_finds_the_choice_when_it_runs(
    tmp_path: Path, local: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixedae.benchmark.run.cluster import ClusterRunner

    suite = SearchedSuite(tmp_path, {"0.1": None, "0.01": 0.6})
    most, send = [0], ClusterRunner._send

    def counted(runner: ClusterRunner, cell: Cell, before: Any) -> Any:
        most[0] = max(most[0], 1 + sum(runner.views[sent].open for sent in runner._jobs))
        return send(runner, cell, before)

    monkeypatch.setattr(ClusterRunner, "_send", counted)
    status, runner = cluster_run(suite, local, only="given")
    assert status == 0, {cell.name: view.reason for cell, view in runner.views.items()}
    assert most == [1], "processes of this machine are as many as the suite's workers"
    assert [view.state for view in runner.views.values()] == ["diverged", "diverged", "done", "done", "done"]
    result = read_result(suite.folder / "given/cls/seed_0")
    assert result is not None and result.options["optim_wrapper.optimizer.lr"] == 0.01


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands that stand in for Slurm's; what sbatch gets lies in sent_41, sent_42, ..."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    tools = tmp_path / "bin"
    tools.mkdir()
    number = f"n=$(($(ls {tmp_path} | grep -c sent_) + 41))"
    lines = ["#!/bin/sh", number, f'cp "$1" {tmp_path}/sent_$n', 'echo "Submitted batch job $n"', ""]
    (tools / "sbatch").write_text("\n".join(lines))
    for name in ("srun", "sacct", "squeue", "scancel"):
        (tools / name).write_text("#!/bin/sh\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return tmp_path


def submit(suite: FakeSuite, only: str) -> list[Cell]:
    """Send the jobs of a suite's cells; returns the cells in the order of their jobs."""
    from mixedae.benchmark.run.cluster import ClusterRunner

    launch = Launch(kind="slurm", processes=2, slurm={"timeout_min": 60, "slurm_partition": "gpu"})
    workspace = suite.workspace(launch=launch)
    runner = ClusterRunner(workspace, Board(), TRAINER, poll=POLL)
    cells = workspace.suite.select(workspace.cells, only)
    states = Survey(workspace).states(cells)
    runner.views.update({cell: runner._first_view(cell, state) for cell, state in states.items()})
    runner.board.begin(runner.views, 1)
    runner._start()
    return list(runner._jobs)


def test_slurm_is_told_what_a_search_waits_for(slurm: Path) -> None:
    """The choice is not known when the jobs are sent: the final training depends on every point."""
    assert [cell.point for cell in submit(SearchedSuite(slurm, {}), "given")][-1] is None
    assert all("--dependency" not in (slurm / f"sent_{number}").read_text() for number in range(41, 45))
    assert "--dependency=afterok:41:42:43:44" in (slurm / "sent_45").read_text()


def test_slurm_gets_the_dependency(slurm: Path) -> None:
    """What is submitted for a transfer names its pre-training's job."""
    tmp_path, suite = slurm, FakeSuite(slurm)
    assert submit(suite, "mae/") == [PRE, CLS, Cell("mae", "det", 0)]
    sent = [(tmp_path / f"sent_{41 + index}").read_text() for index in range(3)]
    assert "--dependency" not in sent[0] and "--partition=gpu" in sent[0] and "--time=60" in sent[0]
    assert all("--dependency=afterok:41" in text and "--kill-on-invalid-dep=yes" in text for text in sent[1:])
    note = suite.folder / "jobs" / "mae-pretrain-seed_0.json"
    assert json.loads(note.read_text()) == {"id": "41"}
