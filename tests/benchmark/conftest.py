"""The journal of the fake trainer, and the harness in its own process."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.benchmark import fake_suite
from tests.benchmark.fake_suite import FakeSuite


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAKE_JOURNAL", str(tmp_path / "journal"))
    return tmp_path / "journal"


def words(journal: Path, first: str) -> list[list[str]]:
    lines = journal.read_text().splitlines() if journal.exists() else []
    return [line.split()[1:] for line in lines if line.startswith(first)]


def start(suite: FakeSuite, folder: Path | None = None) -> subprocess.Popen[str]:
    """The harness in its own process."""
    command = [sys.executable, fake_suite.__file__, str(suite.root), str(folder or suite.folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(condition: object, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)
