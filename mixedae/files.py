"""Files: where the repository is, and writing that no reader ever sees half done. No torch, no mmengine."""

import json
import math
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]  # the package is installed editable: the repository's root
TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")
"""Names of the temporary files of :func:`replacing`, with the process that writes them."""
ABANDONED_AFTER = 3600.0
"""Seconds without a write, after which a temporary file of another machine is a leftover: no save pauses that long."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` to write into. It replaces ``path`` in one step, or is removed if writing fails.

    Args:
        path: the file; its folder must exist.
    """
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")  # mkstemp's would be private
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> list[Path]:
    """Remove what killed writers left in a folder: temporary files of :func:`replacing` that nobody writes any more.

    Args:
        folder: may be absent. Folders inside it are not looked at.

    Returns:
        What was removed.
    """
    removed = []
    for path in folder.glob(".*.tmp"):
        found = TEMPORARY.fullmatch(path.name)
        if found is None or not path.is_file():
            continue
        here = path.name.endswith(f".{socket.gethostname()}.{found[1]}.tmp")
        with suppress(FileNotFoundError):  # another process of this run was faster
            if (here and not _exists(int(found[1]))) or time.time() - path.stat().st_mtime > ABANDONED_AFTER:
                path.unlink()
                removed.append(path)
    return removed


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step; its folder is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file in one step, keys in the given order.

    Args:
        path: the file; its folder is made if it is not there.
        content: what json can write, and scalars and arrays of NumPy and torch. Numbers that are not finite become
            null, because JSON has no NaN.
    """
    write_text(Path(path), json.dumps(plain(content), indent=2, allow_nan=False) + "\n")


def read_json(path: Path, default: Any = None) -> Any:
    """The content of a JSON file; ``default`` if the file is absent or half written by another program."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return default


def plain(value: Any) -> Any:
    """Reduce scalars of NumPy and torch to Python's, tuples to lists, and numbers that are not finite to None.

    Args:
        value: nested dicts, lists, tuples and scalars.

    Returns:
        What json writes with ``allow_nan=False``.
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        return plain(value.item()) if getattr(value, "size", 1) == 1 or value.ndim == 0 else plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str | None) else str(value)
