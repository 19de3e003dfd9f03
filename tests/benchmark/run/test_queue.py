"""What Slurm says of jobs, from stand-ins for its commands; the real ones run in `make test-slurm`."""

import os
from pathlib import Path

import pytest

from mixedae.benchmark.run.queue import Queue, how_it_ended, is_there


@pytest.fixture
def queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the jobs that squeue lists; without it squeue fails, as it does while the controller starts."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "squeue").write_text(f"#!/bin/sh\nexec cat {tmp_path}/queued\n")
    (tools / "scontrol").write_text("#!/bin/sh\necho JobId=7 JobName=a b JobState=NODE_FAIL Reason=None\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    (tmp_path / "queued").write_text("7\n8\n")
    return tmp_path / "queued"


def test_a_job_has_ended_when_two_looks_miss_it(queued: Path) -> None:
    queue = Queue(interval=-1)
    assert not queue.ended("7") and not queue.ended("8")
    queued.write_text("8\n")
    assert [queue.ended("7"), queue.ended("7")] == [False, True]
    assert not queue.ended("8")
    queued.write_text("7\n8\n")  # Slurm has started it again
    assert not queue.ended("7")


def test_no_job_has_ended_while_slurm_does_not_answer(queued: Path) -> None:
    queue = Queue(interval=-1)
    assert not queue.ended("7")
    queued.unlink()
    assert not any(queue.ended("7") for _ in range(5))


def test_slurm_is_asked_now_and_then(queued: Path) -> None:
    queue = Queue(interval=1000)
    assert not queue.ended("7")
    queued.write_text("")
    assert not any(queue.ended("7") for _ in range(5))


def test_how_a_job_ended(queued: Path) -> None:
    assert how_it_ended("7") == "NODE_FAIL"
    assert is_there("8") and not is_there("9")
