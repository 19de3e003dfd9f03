"""One mapping from how a cell stands on disk to how it is shown."""

from typing import get_args

import pytest

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.run.views import CellView
from mixedae.benchmark.store.survey import Kind, State


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_state_has_one_way_to_be_shown(kind: Kind) -> None:
    view = CellView(Cell("mae", "cls", 0))
    state = State(kind, "why")
    view.show(state, ())
    expected = {"done": "cached", "diverged": "diverged", "failed": "failed", "blocked": "blocked"}
    assert view.state == expected.get(kind, "waiting") and view.reason == "why"
    assert state.over == (kind in ("done", "diverged"))
    assert not (state.over and view.open), "what has ended is not shown as still to come"
