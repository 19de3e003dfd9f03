"""How a cell's processes are started: one, or several through torchrun, on one node or more."""

import os
import shlex
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mixedae.benchmark.plan.schema import Strict, parse_pairs
from mixedae.errors import ConfigError

PORT = 29400  # torchrun's own default for a rendezvous

Count = Annotated[int, Field(ge=1)]


class Launch(Strict):
    """Processes of one cell.

    Attributes:
        kind: ``local`` (one process), ``torchrun``, or ``slurm`` (each cell is a job, which starts torchrun).
        processes: on each node.
        nodes: how many.
        rendezvous: ``HOST:PORT`` where the nodes meet; in a Slurm job the first node is taken.
        starter: the command that starts one torchrun on each node, such as ``mpirun -np 2 -H a,b``.
        slurm: options of ``sbatch`` as submitit names them: ``slurm_partition``, ``timeout_min``, ...
        cluster: ``slurm``, or ``local``: submitit runs the jobs as processes of this machine.
    """

    kind: Literal["local", "torchrun", "slurm"] = "local"
    processes: Count = 1
    nodes: Count = 1
    rendezvous: str | None = None
    starter: str | None = None
    slurm: dict[str, str | int] = {}
    cluster: Literal["slurm", "local"] = "slurm"

    @model_validator(mode="after")
    def _consistent(self) -> "Launch":
        if self.kind == "local" and self.world_size > 1:
            raise ConfigError(f"--launcher local starts one process, not {self.world_size}; give --launcher torchrun")
        if self.kind == "torchrun" and self.nodes > 1 and not (self.rendezvous and self.starter):
            raise ConfigError(
                "torchrun on several nodes needs --rendezvous HOST:PORT, where they meet, and --starter COMMAND, which "
                "starts it on each of them (mpirun, srun, pdsh)"
            )
        if self.slurm and self.kind != "slurm":
            raise ConfigError(f"--slurm {next(iter(self.slurm))}=... is for --launcher slurm, not {self.kind}")
        if self.cluster == "local" and self.kind != "slurm":
            raise ConfigError(f"--cluster local is for --launcher slurm, not {self.kind}")
        return self

    @property
    def world_size(self) -> int:
        """Processes in all."""
        return self.processes * self.nodes

    def command(self, trainer: Sequence[str], key: str) -> tuple[str, ...]:
        """What stands in front of the trainer's arguments.

        Args:
            trainer: interpreter and script, for one process.
            key: tells this run's rendezvous from others at the same place.
        """
        if self.world_size == 1:
            return tuple(trainer)
        python, *script = trainer
        options = ["--nnodes", str(self.nodes), "--nproc-per-node", str(self.processes)]
        starter: list[str] = []
        if self.nodes == 1:
            options.append("--standalone")
        else:
            options += ["--rdzv-backend", "c10d", "--rdzv-endpoint", self._meeting_point(), "--rdzv-id", key[:16]]
            starter = shlex.split(self.starter or f"srun --overlap --nodes {self.nodes} --ntasks-per-node 1")
        return (*starter, python, "-m", "torch.distributed.run", *options, *script)

    def arguments(self) -> tuple[str, ...]:
        """What the trainer must be told."""
        return ("--launcher", "pytorch") if self.world_size > 1 else ()

    def _meeting_point(self) -> str:
        if self.rendezvous:
            return self.rendezvous
        host = os.environ.get("SLURMD_NODENAME") or os.uname().nodename  # rank 0 of the job runs this
        return f"{host}:{PORT}"


def parse_slurm(arguments: Sequence[str]) -> dict[str, str | int]:
    """Read ``KEY=VALUE`` arguments; whole numbers become numbers.

    Raises:
        ConfigError: an argument has another form.
    """
    given = parse_pairs("--slurm", arguments, "KEY=VALUE")
    return {key: int(value) if value.isdecimal() else value for key, value in given.items()}
