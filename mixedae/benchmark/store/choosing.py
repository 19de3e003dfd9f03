"""Which point of a search a cell trains, from the results that lie on disk."""

from dataclasses import replace
from typing import TYPE_CHECKING

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.search import Choice
from mixedae.benchmark.store.states import Known, State

if TYPE_CHECKING:
    from mixedae.benchmark.store.workspace import Workspace

OVER = ("done", "diverged", "skipped")  # nothing is left to run: what a search can choose from


def point_of(workspace: "Workspace", cell: Cell, known: Known) -> str | None:
    """Which point of its search a cell trains.

    Args:
        workspace: the suite and its folder.
        cell: the cell.
        known: states that are looked up together.

    Returns:
        The point; None without a search, before its results are there, and where too few points are left.
    """
    suite = workspace.suite
    search = suite.search_of(cell.task) if cell.task else None
    if search is None or cell.task is None:
        return None
    slot = search.slots[cell.point] if cell.point else None
    if slot is not None and slot.point is not None:
        return slot.point
    if any(workspace.state(each, known).kind not in OVER for each in suite.candidates_of(cell)):
        return None
    keep, place = (len(search.rung(slot.rung)), slot.place) if slot else (1, 0)
    higher = suite.cards[cell.task].metrics[0].higher_is_better
    best = search.best(_scores(workspace, cell, known), keep, higher)
    return best[place] if place < len(best) else None


def _scores(workspace: "Workspace", cell: Cell, known: Known) -> dict[str, float | None]:
    """Point to first metric of the trainings that a cell's point is chosen from; None where one diverged.

    They stand as in their rung: the n-th point was trained in the n-th place.
    """
    assert cell.task is not None
    search, metric = workspace.suite.search_of(cell.task), workspace.suite.cards[cell.task].metrics[0]
    assert search is not None
    last = search.slots[cell.point].rung - 1 if cell.point else search.rung(-1)[0].rung
    points, scores = list(search.points), dict[str, float | None]()
    for rung in range(1, last + 1):
        slots = search.rung(rung)
        if rung > 1:
            points = search.best(scores, len(slots), metric.higher_is_better)
        scores = {}
        for slot, point in zip(slots, points, strict=False):  # fewer points than slots: too many diverged
            state = workspace.state(replace(cell, point=slot.name), known)
            scores[point] = state.result.values[metric.key] if state.kind == "done" and state.result else None
    return scores


def choice_of(workspace: "Workspace", cell: Cell, known: Known) -> Choice | None:
    """What the search of a transfer found; None without a search, or before it is done."""
    search = workspace.suite.search_of(cell.task) if cell.task else None
    if search is None or cell.point is not None or (point := point_of(workspace, cell, known)) is None:
        return None
    score = _scores(workspace, cell, known)[point]
    assert score is not None  # it was chosen
    states = [workspace.state(replace(cell, point=name), known) for name in search.slots]
    diverged = sum(state.kind == "diverged" for state in states)
    return Choice(point=point, score=score, points=len(search.points), diverged=diverged, halving=search.halving)


def chosen_cell(workspace: "Workspace", cell: Cell, known: Known) -> Cell | None:
    """The point whose result is the cell's own, where a search holds out no pictures; None elsewhere."""
    search = workspace.suite.search_of(cell.task) if cell.task else None
    if search is None or search.overlay or cell.point or (point := point_of(workspace, cell, known)) is None:
        return None
    place = list(_scores(workspace, cell, known)).index(point)
    return replace(cell, point=search.rung(-1)[place].name)


def obstacle(workspace: "Workspace", cell: Cell, known: Known) -> State | None:
    """The state of a cell whose search does not let it run; None where it does, or there is none."""
    candidates = {each: workspace.state(each, known) for each in workspace.suite.candidates_of(cell)}
    for candidate, state in candidates.items():
        if state.kind in ("failed", "blocked"):
            return State("blocked", f"not run: {candidate.point} of its search failed ({state.reason})")
    done = sum(state.kind in OVER for state in candidates.values())
    if done < len(candidates):
        return State("waiting", f"its search is not done ({done} of {len(candidates)} trainings)")
    if candidates and point_of(workspace, cell, known) is None:
        if cell.point is None:
            return State("blocked", "not run: every point of its search diverged")
        return State("skipped", "not run: too few points of the rung before are left")
    return None
