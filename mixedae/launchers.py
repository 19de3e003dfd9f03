"""How processes are started, and whether the launcher that was named really started this one."""

import os

from mixedae.errors import LauncherError

LAUNCHERS = {
    "pytorch": (("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"), "torchrun (tools/dist_train.sh)"),
    "slurm": (("SLURM_PROCID", "SLURM_NTASKS", "SLURM_NODELIST"), "srun (tools/slurm_train.sh)"),
    "mpi": (("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"), "mpirun"),
}
"""Name to the variables and to the command that sets them."""


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


def is_first_process(launcher: str) -> bool:
    """Whether this is the process that writes a run's files; known before the processes can talk to each other.

    Args:
        launcher: none, pytorch, slurm or mpi.
    """
    rank = {"pytorch": "RANK", "slurm": "SLURM_PROCID", "mpi": "OMPI_COMM_WORLD_RANK"}.get(launcher, "")
    return os.environ.get(rank, "0") == "0"
