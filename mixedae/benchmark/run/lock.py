"""A lock on a cell's folder that survives a kill -9 of the harness."""

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any


class FileLock:
    """An exclusive lock on a file (``flock``), held until :meth:`release` or the death of every process that has it.

    A child process that inherits :attr:`fileno` keeps the lock alive when its parent is killed: nobody starts the same
    cell beside an orphan.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None

    def acquire(self) -> bool:
        """Take the lock if it is free. Returns False if another process has it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("ab+", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        with suppress(OSError):  # a full disk: only the name is lost
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        self._file = file
        return True

    def release(self) -> None:
        """Give the lock back, also for the processes that inherited it."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self._file.close()
            self._file = None

    @property
    def fileno(self) -> int:
        """The descriptor that a child inherits."""
        return int(self._file.fileno())

    def holder(self) -> str:
        """Who took the lock last, as they wrote it down."""
        try:
            return self.path.read_text(encoding="utf-8").strip() or "another process"
        except OSError:
            return "another process"
