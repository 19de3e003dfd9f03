"""Two processes through gloo: all of them stop, and the batch arithmetic knows both."""

import json
import os
from pathlib import Path

import pytest

from tests.forked import Forked

pytestmark = [pytest.mark.ddp, pytest.mark.train]


def launch(work_dir: Path, bad_rank: int, accumulation: int = 1) -> list[tuple[int, str]]:
    """Exit code and output of both processes."""
    processes = []
    for rank in range(2):
        ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        env = os.environ | ranks | {"ACCUMULATION": str(accumulation)}
        processes.append(Forked("tests.engine.ddp_worker", work_dir, bad_rank, env=env))
    try:
        return [(done.returncode, done.stdout + done.stderr) for done in (process.wait() for process in processes)]
    finally:
        for process in processes:
            process.kill()


def test_a_nan_on_one_process_ends_both(tmp_path: Path) -> None:
    (code0, out0), (code1, out1) = launch(tmp_path, bad_rank=1)
    assert code0 != 0 and code1 != 0
    assert "NonFiniteLossError: another process found" in out0 or "NonFiniteLossError: a loss is not finite" in out0
    assert "NonFiniteLossError: a loss is not finite at iteration 3 (epoch 2), process 1" in out1
    assert not (tmp_path / "run_record.json").exists()
    assert [path.name for path in tmp_path.glob("*.pth")] == ["epoch_1.pth"]


def test_the_effective_batch_counts_processes(tmp_path: Path) -> None:
    results = launch(tmp_path, bad_rank=-1, accumulation=2)
    assert [code for code, _ in results] == [0, 0], results
    assert "effective batch 16 = 2 processes x 4 images x 2 accumulation; lr 0.04 = 0.01 x 16 / 4" in results[0][1]
    record = json.loads((tmp_path / "run_record.json").read_text())
    assert (record["world_size"], record["effective_batch"], record["lr"]) == (2, 16, pytest.approx(0.04))
    assert record["metrics"]["toy/n"] == 7
