"""SIGTERM, SIGUSR1, SIGUSR2 and Ctrl-C end a training after its step, with a checkpoint."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
import torch.distributed
from mmengine.dist import is_distributed

from mixedae.errors import RunStoppedError

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
URGENT = (signal.SIGTERM, signal.SIGINT)
"""The second of these ends a training at once. Schedulers send the others as well, before one of these or after it."""


class Stopping:
    """Whether this run was asked to stop, by a signal to any of its processes.

    Several processes must stop at the same step, or the first one's neighbours wait for it for ever. After each step
    each process starts to tell the others whether it was asked, over gloo and in the background; it looks at the answer
    one step later. No GPU is waited for.

    Args:
        patience: how long a process waits for another's answer.
    """

    def __init__(self, patience: timedelta) -> None:
        self._patience = patience
        self.number = 0  # of the first signal
        self._urgent = False
        self._agreed = False
        self._told: Any = None
        self._flag = torch.zeros(1, dtype=torch.int32)
        self._group: Any = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take the signals as long as the block runs."""
        in_main = threading.current_thread() is threading.main_thread()  # others may not take signals
        before = {number: signal.signal(number, self._note) for number in SIGNALS} if in_main else {}
        if is_distributed():
            self._group = torch.distributed.new_group(backend="gloo", timeout=self._patience)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number in URGENT and self._urgent:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._urgent |= number in URGENT
        if not self.number:
            self.number = number
            name = signal.Signals(number).name
            text = f"{name}: stops after this step and saves; SIGTERM or Ctrl-C, for a second time, ends it at once"
            print(text, file=sys.stderr, flush=True)

    def asked(self) -> bool:
        """Whether to stop now; the same answer in all processes if each asks after each step."""
        if self._group is None:
            return bool(self.number)
        if self._told is not None:
            self._told.wait()
            self._agreed |= bool(self._flag.item())
        if not self._agreed:
            self._flag.fill_(self.number)
            self._told = torch.distributed.all_reduce(
                self._flag, torch.distributed.ReduceOp.MAX, group=self._group, async_op=True
            )
        return self._agreed

    def wait_for_all(self) -> None:
        """Wait until all processes are here: launchers end the others when the first one leaves."""
        if self._group is not None:
            torch.distributed.barrier(self._group)

    def error(self, checkpoint: str) -> RunStoppedError:
        """What ends the run.

        Args:
            checkpoint: where it can go on.
        """
        number = self.number or int(self._flag.item())
        name = signal.Signals(number).name
        return RunStoppedError(f"stopped by {name}; --resume goes on from {checkpoint}", 128 + number)
