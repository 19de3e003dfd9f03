"""On a real Slurm of two nodes (``make test-slurm``): suites, jobs on two nodes, and all the ways in which a job ends.

The name of this file is none that pytest looks for: these tests run where they are asked for, and fail where Slurm is
not installed.
"""

import io
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.launch import Launch
from mixedae.benchmark.run.board import PlainBoard
from mixedae.benchmark.run.cluster import ClusterRunner
from mixedae.benchmark.store.results import read_result
from mixedae.files import ROOT
from mixedae.weights import read_checkpoint
from tests.benchmark.fake_suite import TRAINER, FakeSuite
from tests.engine.test_exact import assert_same
from tests.slurm.cluster import Cluster, cluster, free_ports, what_is_missing
from tests.tools.small_suite import write_small_suite

PRE, CLS, DET = Cell("mae", None, 0), Cell("mae", "cls", 0), Cell("mae", "det", 0)
RECIPE = "mm_configs/mini/pretrain/mae_vit-mini-p8_1xb64-coslr-15e_mini.py"


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """The cluster, in this process's environment too."""
    if sentence := what_is_missing():
        pytest.exit(sentence, returncode=1)
    with cluster() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", running.environment["SLURM_CONF"])
        patch.setenv("PATH", running.environment["PATH"])
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("MASTER_ADDR", "127.0.0.1")  # the nodes' names are no hosts here
        yield running


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSuite:
    monkeypatch.setenv("FAKE_JOURNAL", str(tmp_path / "journal"))
    return FakeSuite(tmp_path)


class Sent:
    """A suite that runs as jobs, in the background."""

    def __init__(self, suite: FakeSuite, only: str, **options: Any) -> None:
        launch = Launch(kind="slurm", slurm={"timeout_min": 10, **options})
        workspace = suite.workspace(launch=launch)
        self.out = io.StringIO()
        self.runner = ClusterRunner(workspace, PlainBoard(Console(file=self.out, width=200)), TRAINER)
        self.runner._queue.interval = 1.0
        self.status: int | None = None
        self._cells = workspace.suite.select(workspace.cells, only)
        self.runner._signals = lambda: threading.Lock()  # type: ignore[method-assign]  # only a main thread takes signals
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.status = self.runner.run(self._cells)

    def job(self, cell: Cell) -> str:
        """The number of a cell's job, once it is sent."""
        end = time.monotonic() + 60
        while cell not in self.runner._jobs:
            assert time.monotonic() < end, self.out.getvalue()
            time.sleep(0.1)
        return str(self.runner._jobs[cell].job_id)

    def wait(self, timeout: float = 300) -> int | None:
        """The exit status."""
        self._thread.join(timeout)
        assert self.status is not None, self.out.getvalue()
        return self.status


def journal(suite: FakeSuite) -> list[str]:
    path = suite.root / "journal"
    return path.read_text().splitlines() if path.exists() else []


def wait_for_epoch(slurm: Cluster, suite: FakeSuite, epoch: int) -> None:
    slurm.wait_for(lambda: any(re.match(f"epoch .* {epoch}$", line) for line in journal(suite)), f"epoch {epoch}", 90)


def test_a_suite_with_dependencies(slurm: Cluster, suite: FakeSuite, capfd: pytest.CaptureFixture[str]) -> None:
    suite.write_config("mae", epochs=3, sleep=2)
    sent = Sent(suite, "mae/")
    pretraining, transfer = sent.job(PRE), sent.job(DET)
    assert f"afterok:{pretraining}" in slurm.job(transfer)["Dependency"]
    assert sent.wait() == 0, sent.out.getvalue()
    lines = [" ".join(line.split()[:2]) for line in journal(suite)]
    assert max(i for i, line in enumerate(lines) if line == f"end {PRE.name}") < lines.index(f"start {CLS.name}")
    assert all(read_result(suite.folder / cell.name) is not None for cell in (PRE, CLS, DET))
    printed = sent.out.getvalue() + "".join(capfd.readouterr())
    assert "sacct" not in printed and "Bypassing" not in printed, printed


def test_a_failed_cell_says_why(slurm: Cluster, suite: FakeSuite) -> None:
    suite.write_config("mae", fail="error: DataError: no pictures")
    sent = Sent(suite, "mae/cls")
    assert sent.wait() == 1
    views = sent.runner.views
    assert views[PRE].reason == "DataError: no pictures" and views[CLS].state == "blocked"


def test_cancelled_and_continued(slurm: Cluster, suite: FakeSuite) -> None:
    suite.write_config("mae", epochs=6, sleep=2)
    sent = Sent(suite, "mae/pretrain")
    wait_for_epoch(slurm, suite, 2)
    slurm.call("scancel", sent.job(PRE))
    assert sent.wait() == 1 and "CANCELLED" in sent.runner.views[PRE].reason, sent.runner.views[PRE].reason
    assert Sent(suite, "mae/pretrain").wait() == 0
    assert [line.split()[2] for line in journal(suite) if line.startswith("start")] == ["anew", "resume"]


def test_a_job_whose_time_is_up_goes_on_by_itself(slurm: Cluster, suite: FakeSuite) -> None:
    suite.write_config("mae", epochs=8, sleep=6)  # 48 s; the signal comes 20 to 80 s before the minute is over
    sent = Sent(suite, "mae/pretrain", timeout_min=1, slurm_signal_delay_s=20)
    number = sent.job(PRE)
    end = time.monotonic() + 400
    while sent.status is None and time.monotonic() < end:
        job = slurm.job(number)
        if job["JobState"] == "PENDING" and job["Restarts"] != "0":
            slurm.start_again(number)
        time.sleep(1)
    assert sent.wait(1) == 0, sent.out.getvalue()
    assert int(slurm.job(number)["Restarts"]) >= 1
    epochs = [line.split()[-1] for line in journal(suite) if line.startswith("epoch")]
    assert epochs == [str(n) for n in range(1, 9)], "no epoch is trained twice"


def test_a_node_that_fails(slurm: Cluster, suite: FakeSuite) -> None:
    """Slurm starts the job again on the other node, and the training goes on from its checkpoint."""
    suite.write_config("mae", epochs=8, sleep=2)
    sent = Sent(suite, "mae/pretrain")
    wait_for_epoch(slurm, suite, 2)
    number = sent.job(PRE)
    node = slurm.job(number)["NodeList"]
    slurm.kill_node(node)
    try:
        slurm.start_again(number)
        assert sent.wait(400) == 0, sent.out.getvalue()
        after = slurm.job(number)
        assert after["NodeList"] != node and int(after["Restarts"]) == 1
        assert [line.split()[2] for line in journal(suite) if line.startswith("start")] == ["anew", "resume"]
    finally:
        slurm.start_node(node)
        slurm.wait_for(lambda: slurm.node_states() == ["idle", "idle"], "both nodes", 90)


def test_two_nodes_through_the_harness(slurm: Cluster, mini_data: Path, tmp_path: Path) -> None:
    """The job starts one torchrun on each node by ``srun --overlap``."""
    (port,) = free_ports(1)
    suite = write_small_suite(tmp_path / "suite")
    command = [sys.executable, "tools/bench.py", "run", suite, "--work-dir", tmp_path / "work", "--launcher", "slurm"]
    command += ["--nodes", "2", "--rendezvous", f"127.0.0.1:{port}", "--slurm", "timeout_min=10", "--limit", "3"]
    command += ["--only", "mae/pretrain/seed_0", "--data", f"mini={mini_data}"]
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, timeout=500)
    log = next(tmp_path.rglob("log.txt"), None)
    assert done.returncode == 0, done.stdout + done.stderr + (log.read_text() if log else "")
    record = json.loads(next(tmp_path.rglob("run_record.json")).read_text())
    assert record["world_size"] == 2 and record["iterations"] == 3


def documented_script() -> str:
    """The batch script of docs/cluster.md."""
    text = (ROOT / "docs/cluster.md").read_text()
    found = re.search(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", text, re.DOTALL)
    assert found
    return found[1]


def submit(slurm: Cluster, folder: Path, data: Path, script: str) -> str:
    """Send the documented script for a short run in a folder; returns the job's number."""
    options = "train_dataloader.batch_size=4 train_dataloader.num_workers=1 train_cfg.max_epochs=6 param_scheduler=None"
    folder.mkdir()
    (folder / "job.sh").write_text(script)
    variables = {"CONFIG": RECIPE, "WORK_DIR": folder / "run", "OPTIONS": options, "PYTHON": sys.executable}
    variables |= {"MIXEDAE_DATA_MINI": data, "OMP_NUM_THREADS": 1, "MASTER_ADDR": "127.0.0.1", "PYTHONPATH": ROOT}
    given = ",".join(f"{name}={value}" for name, value in variables.items())
    command = ["sbatch", "--parsable", f"--chdir={ROOT}", f"--output={folder}/job.txt", f"--export=ALL,{given}"]
    return slurm.call(*command, folder / "job.sh").strip()


def text_of(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in (folder / "job.txt", *folder.rglob("rank_*.txt")))


def test_preempted_on_two_nodes_requeued_and_exact(slurm: Cluster, mini_data: Path, tmp_path: Path) -> None:
    """The script of docs/cluster.md: a job of higher priority takes both nodes, and the run ends as if it had not."""
    script, whole, broken = documented_script(), tmp_path / "whole", tmp_path / "broken"
    number = submit(slurm, whole, mini_data, script)
    slurm.wait_for(lambda: slurm.job(number)["JobState"] not in ("PENDING", "RUNNING", "COMPLETING"), "the run", 400)
    assert slurm.job(number)["JobState"] == "COMPLETED", text_of(whole)
    assert json.loads((whole / "run/run_record.json").read_text())["world_size"] == 2

    number = submit(slurm, broken, mini_data, script)
    slurm.wait_for(lambda: (broken / "run/epoch_1.pth").exists(), "an epoch", 200)
    urgent = slurm.call(
        "sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 5"
    )
    slurm.start_again(number)
    left = sorted(path.name for path in (broken / "run").glob("*_iter_*.pth"))
    slurm.wait_for(lambda: slurm.job(urgent.strip())["JobState"] == "COMPLETED", "the urgent job", 120)
    slurm.wait_for(lambda: slurm.job(number)["JobState"] in ("COMPLETED", "FAILED"), "the rest of the run", 500)
    assert slurm.job(number)["JobState"] == "COMPLETED", text_of(broken)
    assert slurm.job(number)["Restarts"] == "1" and left, text_of(broken)
    states = [read_checkpoint(folder / "run/epoch_6.pth") for folder in (whole, broken)]
    assert_same(states[0]["state_dict"], states[1]["state_dict"])
