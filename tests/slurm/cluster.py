"""A real Slurm of two nodes on this machine, without accounting: ``python -m tests.slurm.cluster [COMMAND]``.

Nothing is installed, and nothing outside of one folder is written. Each node is a slurmd of its own with a port of its
own. Without arguments it only says whether Debian's packages are here; with a command it runs that on the cluster.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "srun": "slurm-client",
    "sbatch": "slurm-client",
    "squeue": "slurm-client",
    "scancel": "slurm-client",
    "scontrol": "slurm-client",
    "sinfo": "slurm-client",
    "munged": "munge",
    "mungekey": "munge",
}
"""A program to Debian's package that has it."""
NODES = ("n1", "n2")
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
CONF = """\
ClusterName=mixedae
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,sched_min_interval=100000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SlurmdTimeout=20
KillWait=10
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=4000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=4000
PartitionName=main Nodes=n1,n2 Default=YES PriorityTier=1 GraceTime=120 State=UP
PartitionName=urgent Nodes=n1,n2 PriorityTier=10 PreemptMode=OFF State=UP
"""


def missing_packages() -> list[str]:
    """Debian's packages whose programs are not here."""
    return sorted({package for program, package in PROGRAMS.items() if shutil.which(program, path=PATH) is None})


def what_is_missing() -> str:
    """The sentence that says so; empty if nothing is."""
    missing = missing_packages()
    packages = "" if not missing else f"no {', '.join(missing)} here; apt-get install {' '.join(missing)}"
    return f"make test-slurm needs Slurm's programs and installs nothing: {packages}" if missing else ""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Cluster:
    """A running cluster.

    Attributes:
        folder: configuration, state and logs of Slurm.
        environment: variables with which Slurm's commands reach it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start the daemons and wait until both nodes are idle.

        Raises:
            RuntimeError: they are not within a minute.
        """
        names = {"host": socket.gethostname(), "user": getpass.getuser(), "folder": self.folder}
        (self.folder / "slurm.conf").write_text(CONF.format(ports=free_ports(3), **names))
        for name in ("state", *NODES):
            (self.folder / name).mkdir()
        self.call("mungekey", "--create", "--keyfile", self.folder / "munge.key")
        options = ("key-file=munge.key", "socket=munge.socket", "log-file=munge.log", "pid-file=munge.pid")
        files = [f"--{name}={self.folder / file}" for name, file in (option.split("=") for option in options)]
        self._start("munged", "--foreground", "--force", *files, f"--seed-file={self.folder / 'munge.seed'}")
        self._start("slurmctld", "-D")
        for node in NODES:
            self.start_node(node)
        self.wait_for(lambda: self.node_states() == ["idle", "idle"], "idle nodes")

    def start_node(self, node: str) -> None:
        """Start one node's slurmd."""
        self._start(node, "-D", "-N", node, program="slurmd")

    def kill_node(self, node: str) -> None:
        """Let a node fail: its daemon dies at once, with all that it runs."""
        parents, steps = {}, []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                number = int(stat.parent.name)
                parents[number] = int(stat.read_text().rpartition(")")[2].split()[1])
                if b"SLURMD_NODENAME=" + node.encode() in (stat.parent / "environ").read_bytes().split(b"\0"):
                    steps.append(number)
            except OSError:  # it has ended meanwhile
                continue
        stepds = {parents[number] for number in steps} - set(steps)  # they started what runs on the node
        self._daemons.pop(node).kill()
        for number in (*stepds - {1, os.getpid()}, *steps):
            os.kill(number, signal.SIGKILL)

    def stop(self) -> None:
        """End the jobs and the daemons."""
        subprocess.run(["scancel", "--user", getpass.getuser()], env=self.environment, timeout=30, check=False)
        end = time.monotonic() + 20
        while time.monotonic() < end and self.call("squeue", "--noheader").strip():
            time.sleep(0.5)
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
        for daemon in self._daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()

    def call(self, *command: object) -> str:
        """The output of one of Slurm's commands.

        Raises:
            RuntimeError: it failed.
        """
        words = [str(word) for word in command]
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def node_states(self) -> list[str]:
        """sinfo's word for each node."""
        try:
            return self.call("sinfo", "--noheader", "--Node", "--format=%T", "--partition=main").split()
        except RuntimeError:
            return []

    def job(self, number: str) -> dict[str, str]:
        """What scontrol says of a job: JobState, Restarts, Dependency, ExitCode, ..."""
        words = self.call("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def start_again(self, number: str, timeout: float = 150.0) -> None:
        """Wait until a job is requeued, and let it start at once: Slurm would let it wait for two minutes."""
        self.wait_for(lambda: self.job(number)["JobState"] == "PENDING", f"job {number} to be requeued", timeout)
        self.call("scontrol", "update", f"JobId={number}", "StartTime=now")

    def wait_for(self, condition: object, what: str, timeout: float = 60.0) -> None:
        """Wait until a condition holds.

        Raises:
            RuntimeError: it does not in time.
        """
        end = time.monotonic() + timeout
        while not condition():  # type: ignore[operator]
            if time.monotonic() > end:
                logs = "\n".join(path.read_text()[-1500:] for path in sorted(self.folder.glob("*.log")))
                raise RuntimeError(f"waited {timeout:g} s in vain for {what}\n{logs}")
            time.sleep(0.2)

    def _start(self, name: str, *arguments: str, program: str = "") -> None:
        path = shutil.which(program or name, path=PATH)
        assert path is not None
        with (self.folder / f"{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                [path, *arguments], env=self.environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        running = Cluster(Path(folder))
        try:
            running.start()
            yield running
        finally:
            running.stop()


def main(command: Sequence[str]) -> int:
    """Say what is missing, or run a command on a cluster."""
    if sentence := what_is_missing():
        print(sentence, file=sys.stderr)
        return 1
    if not command:
        print("Slurm's programs are here")
        return 0
    with cluster() as running:
        return subprocess.run(command, env=running.environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
