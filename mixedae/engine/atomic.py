"""JSON files that a reader never sees half written."""

import json
import math
from pathlib import Path
from typing import Any

from mixedae.atomic import replacing


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON to a temporary file beside ``path`` and move it there in one step.

    Args:
        path: the file; its folder must exist.
        content: what json can write; numbers that are not finite become null, which JSON has and NaN not.
    """
    with replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(plain(content), indent=1, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """Reduce numpy and torch scalars to Python's, tuples to lists, and numbers that are not finite to None.

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
