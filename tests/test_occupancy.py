"""R34: one training to a folder, and a killed one leaves no lock behind."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mixedae.errors import FolderInUseError, SaveError
from mixedae.launchers import is_first_process
from mixedae.occupancy import NAME, occupied

HOLD = """
import os, sys, time
from mixedae.occupancy import occupied
with occupied(sys.argv[1]):
    if os.fork() == 0:  # a loader's worker, which outlives a killed run for a while
        time.sleep(60)
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path):
    """Another process that holds the folder, and its worker."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        os.killpg(process.pid, 9)


def test_r34_a_folder_in_use_is_refused_with_process_and_host(tmp_path: Path, other: subprocess.Popen) -> None:
    for _ in range(2):  # the refused one must not write its own name
        with pytest.raises(FolderInUseError) as error, occupied(tmp_path):
            pass
        assert f"in use by process {other.pid} on {socket.gethostname()}" in str(error.value)


def test_r34_a_killed_run_gives_its_folder_back_at_once(tmp_path: Path, other: subprocess.Popen) -> None:
    other.kill()
    other.wait()
    with occupied(tmp_path):
        assert (tmp_path / NAME).read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"


def test_one_process_may_enter_twice_and_the_folder_is_free_afterwards(tmp_path: Path) -> None:
    code = f"from mixedae.occupancy import occupied\nwith occupied({str(tmp_path / 'new')!r}): pass"
    for inside in (True, False):
        with occupied(tmp_path / "new"):
            with occupied(tmp_path / "new"):
                pass
            if inside:
                done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
                assert done.returncode == 1 and "FolderInUseError" in done.stderr
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SaveError, match=r"work_dir .*file/run cannot be written to"), occupied(tmp_path / "file/run"):
        pass


@pytest.mark.parametrize(
    ("launcher", "variables", "first"),
    [
        ("none", {"RANK": "1", "SLURM_PROCID": "3"}, True),
        ("pytorch", {"RANK": "1"}, False),
        ("pytorch", {"RANK": "0"}, True),
        ("slurm", {"SLURM_PROCID": "3"}, False),
        ("mpi", {"OMPI_COMM_WORLD_RANK": "2"}, False),
    ],
)
def test_the_process_that_writes_is_known_from_the_launcher(
    monkeypatch: pytest.MonkeyPatch, launcher: str, variables: dict[str, str], first: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_first_process(launcher) is first
