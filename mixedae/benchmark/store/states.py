"""How a cell stands on disk."""

from dataclasses import dataclass
from typing import Literal

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.store.results import Result

Kind = Literal["done", "failed", "diverged", "skipped", "stale", "damaged", "missing", "waiting", "blocked"]


@dataclass(frozen=True)
class State:
    """How a cell stands on disk.

    Attributes:
        kind: ``done`` (valid, and its key is the current one), ``failed``, ``diverged`` (a point of a search whose loss
            became infinite: that is its result), ``skipped`` (a place of a search for which too few points are left:
            there is nothing to run), ``stale`` (made of other content), ``damaged``, ``missing``,
            ``waiting`` (what it needs is not done), ``blocked`` (what it needs failed).
        reason: why it is not done; empty where it is.
        result: the result, where there is a valid one.
    """

    kind: Kind
    reason: str = ""
    result: Result | None = None


Known = dict[Cell, State]  # states that were looked up in one go
