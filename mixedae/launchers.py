"""How processes are started: whether the named launcher did it, which rank each has, where what each prints is kept."""

import os
import subprocess
import sys
from pathlib import Path

from mixedae.errors import LauncherError

LAUNCHERS = {
    "pytorch": (("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"), "torchrun (tools/dist_train.sh)"),
    "slurm": (("SLURM_PROCID", "SLURM_NTASKS", "SLURM_NODELIST"), "srun (tools/slurm_train.sh)"),
    "mpi": (("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"), "mpirun"),
}
"""Name to the variables and to the command that sets them."""
RANKS = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}
"""Name to its variables of the rank, the number of processes, and the rank on the node."""
LOGS = "ranks"
"""Folder in a run's folder: what each process but the first prints, in ``rank_<r>.txt``."""


def check_launcher(launcher: str) -> None:
    """Check that a distributed launcher was really used; mmengine dies with a KeyError or hangs.

    Args:
        launcher: none, pytorch, slurm or mpi.

    Raises:
        LauncherError: its environment variables are missing.
    """
    variables, command = LAUNCHERS.get(launcher, ((), ""))
    missing = [name for name in variables if name not in os.environ]
    if missing:
        raise LauncherError(
            f"--launcher {launcher} needs {', '.join(missing)} in the environment; start through {command}, or leave "
            "--launcher out for one process"
        )


def rank_of(launcher: str) -> int:
    """This process's rank, known before the processes can talk to each other; 0 without a launcher.

    Args:
        launcher: none, pytorch, slurm or mpi.
    """
    return int(os.environ.get(RANKS[launcher][0], "0")) if launcher in RANKS else 0


def local_rank_of(launcher: str) -> int:
    """This process's rank among those of its machine; 0 without a launcher.

    Args:
        launcher: none, pytorch, slurm or mpi.
    """
    return int(os.environ.get(RANKS[launcher][2], "0")) if launcher in RANKS else 0


def is_first_process(launcher: str) -> bool:
    """Whether this is the process that writes a run's files; known before the processes can talk to each other.

    Args:
        launcher: none, pytorch, slurm or mpi.
    """
    return rank_of(launcher) == 0


def meeting(launcher: str) -> dict[str, str]:
    """The variables by which PyTorch's processes find each other, from those of the launcher.

    torchrun sets them itself. Under Slurm and MPI what is set already stays. Slurm's processes meet on the first node,
    at a port that follows from the job, so that two jobs on a node do not take the same one.

    Args:
        launcher: pytorch, slurm or mpi, by which this process was started.

    Raises:
        LauncherError: nothing tells where the processes meet.
    """
    if launcher == "pytorch":
        return {}
    rank, size, local = (os.environ.get(name, "0") for name in RANKS[launcher])
    found = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": local}
    where = {"MASTER_PORT": "29500"}
    if launcher == "slurm":
        where["MASTER_PORT"] = str(20000 + int(os.environ.get("SLURM_JOB_ID", "0")) % 10000)
        if "MASTER_ADDR" not in os.environ:
            where["MASTER_ADDR"] = first_host(os.environ["SLURM_NODELIST"])
    where |= {name: value for name in ("MASTER_ADDR", "MASTER_PORT") if (value := os.environ.get(name))}
    if "MASTER_ADDR" not in where:
        raise LauncherError("--launcher mpi needs MASTER_ADDR, the host of process 0, in the environment")
    return found | where


def first_host(nodes: str) -> str:
    """The first of Slurm's nodes, by ``scontrol``.

    Args:
        nodes: as ``SLURM_NODELIST`` has them, such as ``gpu[03-06]``.

    Raises:
        LauncherError: scontrol is not here, or does not know.
    """
    try:
        command = ["scontrol", "show", "hostnames", nodes]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise LauncherError(
            f"the first of the nodes {nodes} is not known, where the processes meet ({error}); set MASTER_ADDR to it"
        ) from error


class _Console:
    """Where all processes' errors are shown, if this process's output goes to a file: its first standard error."""

    descriptor: int | None = None
    name = ""
    log: Path | None = None


def keep_output(launcher: str, folder: str | Path) -> None:
    """Let this process print to a log of its own, unless it is the first, whose output is shown.

    Args:
        launcher: none, pytorch, slurm or mpi.
        folder: of the run.
    """
    if is_first_process(launcher) or _Console.descriptor is not None:
        return
    rank = rank_of(launcher)
    log = Path(folder) / LOGS / f"rank_{rank}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    _Console.descriptor, _Console.name, _Console.log = os.dup(2), f"process {rank}", log
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def show(text: str) -> None:
    """Print an error, on the console too if this process prints to a log.

    Args:
        text: one line.
    """
    print(text, file=sys.stderr, flush=True)
    show_on_console(text)


def show_on_console(text: str) -> None:
    """Print on the console what this process prints to its log in another way; nothing if it has none.

    Args:
        text: one line.
    """
    if _Console.descriptor is not None:
        os.write(_Console.descriptor, f"{_Console.name}: {text} (its log: {_Console.log})\n".encode())
