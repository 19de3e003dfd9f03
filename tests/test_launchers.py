"""Launchers: one that did not start this process is refused; where processes meet, and where they print."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mixedae.errors import LauncherError
from mixedae.launchers import check_launcher, local_rank_of, meeting


def test_launchers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    check_launcher("none")
    with pytest.raises(LauncherError, match=r"--launcher pytorch needs RANK, WORLD_SIZE.*torchrun"):
        check_launcher("pytorch")
    monkeypatch.setenv("LOCAL_RANK", "0")  # upstream's train.py sets it by itself
    with pytest.raises(LauncherError, match="needs RANK, WORLD_SIZE, MASTER_ADDR"):
        check_launcher("pytorch")
    with pytest.raises(LauncherError, match=r"slurm needs .*SLURM_PROCID"):
        check_launcher("slurm")
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    check_launcher("pytorch")


def test_where_the_processes_of_a_job_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the job's first node, at a port of the job's own; what is set already stays."""
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho gpu03\necho gpu04\n")
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    job = {"PROCID": "3", "NTASKS": "4", "LOCALID": "1", "NODELIST": "gpu[03-04]", "JOB_ID": "120042"}
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert meeting("slurm") == {
        "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "gpu03", "MASTER_PORT": "20042"
    }  # fmt: skip
    assert local_rank_of("slurm") == 1 and local_rank_of("none") == 0
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    (tmp_path / "scontrol").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert meeting("slurm")["MASTER_ADDR"] == "10.0.0.1"
    monkeypatch.delenv("MASTER_ADDR")
    with pytest.raises(LauncherError, match=r"gpu\[03-04\] is not known.*set MASTER_ADDR"):
        meeting("slurm")
    with pytest.raises(LauncherError, match="mpi needs MASTER_ADDR"):
        meeting("mpi")


CODE = """
import sys
from mixedae.command_line import run
from mixedae.errors import DataError
from mixedae.launchers import keep_output

def main():
    keep_output("pytorch", sys.argv[1])
    print("at work")
    raise DataError("no pictures") if sys.argv[2] == "named" else KeyError("x")

run(main)
"""


@pytest.mark.parametrize(("kind", "said"), [("named", "error: DataError: no pictures"), ("bug", "KeyError: 'x'")])
def test_all_but_the_first_process_print_to_a_log(tmp_path: Path, kind: str, said: str) -> None:
    """Their errors are on the console too."""
    outs = []
    for rank in "01":
        command = [sys.executable, "-c", CODE, str(tmp_path), kind]
        outs.append(subprocess.run(command, env=os.environ | {"RANK": rank}, capture_output=True, text=True))
    assert [done.returncode for done in outs] == [1, 1]
    assert outs[0].stdout == "at work\n" and said in outs[0].stderr
    log = tmp_path / "ranks/rank_1.txt"
    assert (outs[1].stdout, outs[1].stderr) == ("", f"process 1: {said} (its log: {log})\n")
    assert "at work" in log.read_text() and said in log.read_text()
