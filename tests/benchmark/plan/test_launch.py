"""How the processes of a cell are started: one, or several through torchrun."""

import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from mixedae.benchmark.commands import parse_launch
from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.launch import Launch, parse_slurm
from mixedae.benchmark.run.board import Board
from mixedae.benchmark.run.runner import SuiteRunner
from mixedae.benchmark.store.survey import Survey
from mixedae.errors import ConfigError
from tests.benchmark.fake_suite import TRAINER, FakeSuite

CLS, PRE = Cell("mae", "cls", 0), Cell("mae", None, 0)


def test_one_process_is_the_trainer_itself() -> None:
    assert Launch().command(("python", "train.py"), "key") == ("python", "train.py")
    assert Launch().arguments() == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"processes": 2},
        {"kind": "torchrun", "nodes": 2},
        {"kind": "torchrun", "slurm": ["partition=gpu"]},
        {"cluster": "local"},
    ],
)
def test_what_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    arguments = dict.fromkeys(("launcher", "processes", "nodes", "rendezvous", "starter", "cluster")) | {"slurm": []}
    arguments |= {"launcher" if name == "kind" else name: value for name, value in wrong.items()}
    with pytest.raises(ConfigError, match=r"--launcher|--starter|--slurm"):
        parse_launch(Namespace(**arguments))


def test_several_nodes_meet_at_the_rendezvous() -> None:
    launch = Launch(kind="torchrun", processes=8, nodes=2, rendezvous="a:29500", starter="mpirun -np 2 -H a,b")
    command = launch.command(("python", "tools/train.py"), "k" * 64)
    assert command[:5] == ("mpirun", "-np", "2", "-H", "a,b") and command[-1] == "tools/train.py"
    options = dict(zip(command[8:-1:2], command[9:-1:2], strict=True))
    assert options == {
        "--nnodes": "2",
        "--nproc-per-node": "8",
        "--rdzv-backend": "c10d",
        "--rdzv-endpoint": "a:29500",
        "--rdzv-id": "k" * 16,
    }


@pytest.mark.ddp
@pytest.mark.train
def test_torchrun_starts_as_many_processes_as_asked(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import os, sys, pathlib\n"
        "pathlib.Path(sys.argv[1], os.environ['RANK']).write_text(os.environ['WORLD_SIZE'] + ' '.join(sys.argv[2:]))\n"
    )
    launch = Launch(kind="torchrun", processes=2)
    command = [*launch.command((sys.executable, str(script)), "k"), str(tmp_path), *launch.arguments()]
    subprocess.run(command, check=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["2--launcher pytorch"] * 2


def test_the_effective_batch_counts_all_processes_and_is_remembered(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path)
    launch = Launch(kind="torchrun", processes=4)
    workspace = suite.workspace(launch=launch)
    identity = Survey(workspace).identity(Cell("random", "cls", 0))
    assert identity is not None and identity.effective_batch == 32
    workspace.remember()
    assert suite.workspace().launch == launch  # for `table`, which is not told
    command = SuiteRunner(workspace, Board(), TRAINER).command(Cell("random", "cls", 0))
    assert command[1:3] == ("-m", "torch.distributed.run") and command[-5:-3] == ("--launcher", "pytorch")


def test_options_of_slurm() -> None:
    assert parse_slurm(["partition=gpu", "timeout_min=600"]) == {"partition": "gpu", "timeout_min": 600}
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        parse_slurm(["partition"])
