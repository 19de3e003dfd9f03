"""What stands in for the objects in a training checkpoint that are no tensors, so that none of their code ever runs."""

from collections.abc import Callable
from typing import Any

import numpy as np

IGNORED_GLOBALS = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "mmengine.config.config.ConfigDict",
    "builtins.getattr",  # a HistoryBuffer pickles its own methods by it
    "builtins.bytes",  # an empty array
    "builtins.slice",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",  # numpy 1's names
    "numpy.core.multiarray.scalar",
    "numpy.ndarray",
    "numpy.dtype",
    "argparse.Namespace",
)


class Ignored:
    """Stands in for a pickled object that is not a weight, and keeps nothing of it.

    Args:
        *args: of the object; not kept.
    """

    def __new__(cls, *args: Any) -> "Ignored":
        """Take any arguments.

        Args:
            *args: of the object; not kept.
        """
        return object.__new__(cls)

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Keep nothing.

        Args:
            state: of the object.
        """


class History:
    """Stands in for a pickled HistoryBuffer and keeps its numbers only."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.arrays = state["_log_history"], state["_count_history"]
        self.max_length = state["max_length"]

    def buffer(self) -> Any:
        """The HistoryBuffer with these numbers."""
        from mmengine.logging import HistoryBuffer

        if not all(isinstance(array, np.ndarray) for array in self.arrays) or not isinstance(self.max_length, int):
            raise TypeError("a log history does not hold arrays of numbers")
        return HistoryBuffer(*self.arrays, self.max_length)


def _no_method(owner: Any, name: str) -> None:
    """Stands in for getattr, by which a HistoryBuffer names its own methods."""


def _no_bytes() -> bytes:
    """Stands in for the bytes of an empty array."""
    return b""


def ignored_globals() -> list[tuple[Callable[..., Any], str]]:
    """For torch.load: a stand-in for each of :data:`IGNORED_GLOBALS`."""
    return [(Ignored, name) for name in IGNORED_GLOBALS]


def kept_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What torch.load may build of a run's state: arrays and numbers of NumPy, dicts for ConfigDicts, stand-ins."""
    reconstruct, scalar = np.zeros(1).__reduce__()[0], np.float32(0).__reduce__()[0]
    kept: list[Any] = [(Ignored, "argparse.Namespace"), (History, IGNORED_GLOBALS[0]), (dict, IGNORED_GLOBALS[1])]
    kept += [(_no_method, "builtins.getattr"), (_no_bytes, "builtins.bytes"), (slice, "builtins.slice")]
    for module in ("numpy._core.multiarray", "numpy.core.multiarray"):
        kept += [(reconstruct, f"{module}._reconstruct"), (scalar, f"{module}.scalar")]
    kinds = {type(np.dtype(code)) for code in (*np.typecodes["AllInteger"], *np.typecodes["Float"], "?", "U", "S")}
    return [*kept, np.ndarray, np.dtype, *kinds]  # no arrays of objects
