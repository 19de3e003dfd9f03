"""One training to a folder: a second one would overwrite the first one's checkpoints, and both would end well."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mixedae.errors import FolderInUseError, SaveError

NAME = ".run.lock"

_HELD: set[Path] = set()


@contextmanager
def occupied(folder: str | Path) -> Iterator[None]:
    """Keep a run's folder for this process as long as the block runs, or until the process is gone, however it ends.

    The lock is the process's own (POSIX): loader workers that outlive a killed run do not keep it. On a file system
    without locks nothing is refused.

    Args:
        folder: is made if it is not there.

    Raises:
        FolderInUseError: another process has it.
        SaveError: the folder cannot be written to.
    """
    path = Path(folder).resolve() / NAME
    if path in _HELD:  # closing a second descriptor would give up the lock
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab+", buffering=0)
    except OSError as error:
        raise SaveError(
            f"work_dir {folder} cannot be written to ({error.strerror or error}); choose another --work-dir"
        ) from error
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                holder = file.read().decode(errors="replace").strip() or "another process"
                raise FolderInUseError(
                    f"work_dir {folder} is in use by {holder}: two trainings would overwrite "
                    "each other's checkpoints. Wait for it or end it, or choose another --work-dir"
                ) from None
        with suppress(OSError):  # a full disk: only the name is lost
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        _HELD.add(path)
        try:
            yield
        finally:
            _HELD.discard(path)
