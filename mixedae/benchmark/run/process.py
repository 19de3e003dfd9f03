"""One training process: started in its own group with its log, read while it runs, ended with all its workers."""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mixedae.benchmark.store.results import LOG
from mixedae.errors import NonFiniteLossError, ProcessLostError
from mixedae.records import Progress, read_progress

LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1
# What the tools print for a named error, and the last line of a Python traceback.
ERROR_LINE = re.compile(
    r"^(?:process \d+: )?(?:error: )?((?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Warning)\b.*)$"
)
LAUNCHER = "torch.distributed.elastic."  # its errors


def _prepare_child() -> None:
    """In the child, before it starts: ask Linux for SIGTERM when the harness dies, even by kill -9.

    Slurm sends the signals that ask for a stop to all processes of a job. torchrun, which would die of them, passes
    over them; its trainers answer.
    """
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class TrainingProcess:
    """A running trainer.

    Args:
        command: program and arguments.
        cwd: folder to run in.
        folder: the cell's folder; ``log.txt`` there takes all output.
        environment: variables on top of this process's.
        lock: descriptor of the cell's lock; the child inherits it, so that the lock lives as long as the child does.
    """

    def __init__(
        self, command: Sequence[str], cwd: Path, folder: Path, environment: Mapping[str, str], lock: int
    ) -> None:
        self.folder = folder
        self.started = time.monotonic()
        with (folder / LOG).open("ab") as log:
            self._process = subprocess.Popen(
                list(command),
                cwd=cwd,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the harness alone, which then ends its children
                pass_fds=(lock,),
                preexec_fn=_prepare_child,
            )

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.poll()

    def progress(self) -> Progress | None:
        """How far the training is; None before its first step."""
        return read_progress(self.folder)

    def signal(self, number: int) -> None:
        """Send a signal to the process and its workers."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the process alone; torchrun hands it on to its trainers."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the end. Returns whether it came."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True


def terminate(processes: Sequence[TrainingProcess], grace: float) -> None:
    """End processes: SIGTERM to each, ``grace`` seconds for all together, then SIGKILL to them and their workers.

    A trainer that gets SIGTERM saves, for which it needs its loader's workers; SIGTERM would end these.
    """
    for process in processes:
        process.ask_to_stop()
    deadline = time.monotonic() + grace
    for process in processes:
        process.wait(max(0.0, deadline - time.monotonic()))
    for process in processes:
        process.signal(signal.SIGKILL)  # also what is left of its workers
        process.wait(5.0)


def _how_far_from_the_cause(reason: str) -> int:
    """Of several processes' errors the first to be told; of equals it is the last in the log."""
    kinds = (NonFiniteLossError.__name__, "", ProcessLostError.__name__, LAUNCHER)
    return next((place for place, kind in enumerate(kinds) if kind and reason.startswith(kind)), 1)


def _dead_process(lines: Sequence[str]) -> str:
    """What torchrun reports of a process that ended without a word; empty if it reports none."""
    report = "\n".join(lines).rpartition("Root Cause")[2]
    found = re.search(r"rank +: (\d+).*?exitcode +: (-?\d+)", report, re.DOTALL)
    if not found:
        return ""
    rank, code = found[1], int(found[2])
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
    memory = ": the system may have run out of memory" if code == -signal.SIGKILL else ""
    return f"process {rank} {how}{memory}"


def failure_reason(status: int, log: Path) -> str:
    """Why a trainer failed, in one line: the last error in its log, else its signal or exit status.

    Of several processes one fails and the others then lose it, or fail in their own way: a loss that is no number goes
    first, and what only follows from another's end comes last.
    """
    if status == -signal.SIGKILL:
        return "killed (SIGKILL): the system may have run out of memory"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 65536))
        lines = file.read().decode(errors="replace").splitlines()
    found = [match.group(1)[:500] for line in reversed(lines) if (match := ERROR_LINE.match(line.strip()))]
    if found:
        reason = min(found, key=_how_far_from_the_cause)
        return _dead_process(lines) or reason if reason.startswith(LAUNCHER) else reason
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    return f"exit status {status}: {last[:300]}"
