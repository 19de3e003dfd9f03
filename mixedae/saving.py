"""Saves in one step: whatever mmengine writes to a local disk, a kill or a full disk leaves the old file whole.

mmengine's own backend opens the target and writes into it, so that an interrupted save leaves a part of a file under
the name of a checkpoint, and destroys the one that was there. Importing :mod:`mixedae.registry` installs this one.
"""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend
from mmengine.fileio.io import backend_instances

from mixedae.errors import SaveError
from mixedae.files import replacing


class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, written to a temporary file beside the target, which is then renamed."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes.

        Args:
            obj: the file's whole content.
            filepath: its folder is made if it is not there.

        Raises:
            SaveError: the disk is full, or the file cannot be written; what was there before is untouched.
        """
        _write(filepath, len(obj), lambda path: path.write_bytes(obj))

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write a text.

        Args:
            obj: the file's whole content.
            filepath: its folder is made if it is not there.
            encoding: of the file.

        Raises:
            SaveError: the disk is full, or the file cannot be written; what was there before is untouched.
        """
        _write(filepath, len(obj), lambda path: path.write_text(obj, encoding=encoding))


def _write(filepath: str | Path, size: int, write: Callable[[Path], object]) -> None:
    path = Path(os.path.realpath(filepath))  # through a link, as open() would
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a pipe or a device must not be replaced
            write(path)
            return
        free = free_bytes(path.parent)
        if free is not None and free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with replacing(path) as temporary:
            write(temporary)
    except OSError as error:
        raise SaveError(
            f"could not write {path} ({size} bytes): {error.strerror or error}; "
            f"{free_bytes(path.parent)} bytes are free. Older files are as they were. Make room, or choose another "
            "--work-dir; --resume goes on from the last checkpoint"
        ) from error


def free_bytes(folder: Path) -> int | None:
    """Free space for this user.

    Args:
        folder: of the disk in question.

    Returns:
        Bytes; None where the system does not tell.
    """
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def install() -> None:
    """Make mmengine write local files through :class:`AtomicLocalBackend`. Calling it again changes nothing."""
    register_backend("local", AtomicLocalBackend, force=True, prefixes="")
    for key, backend in list(backend_instances.items()):
        if type(backend) is LocalBackend:  # kept from before this call
            del backend_instances[key]
