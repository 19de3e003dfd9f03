"""One look at the disk: how each cell of a suite stands, what it is made of now, and what its search chose."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mixedae.benchmark.plan.cards import Metric
from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.recipe import Recipe, Variant
from mixedae.benchmark.plan.search import Choice, Search
from mixedae.benchmark.store.results import RESULT, Identity, Result, read_result
from mixedae.benchmark.store.workspace import ELSEWHERE, Workspace
from mixedae.errors import MixedAEError, ResultsError, WeightsError
from mixedae.files import read_json
from mixedae.records import RECORD

Kind = Literal["done", "diverged", "failed", "stale", "damaged", "missing", "waiting", "blocked"]


@dataclass(frozen=True)
class State:
    """How a cell stands on disk.

    Attributes:
        kind: one of

            - ``done``: it has a valid result, made of what the cell is made of now.
            - ``diverged``: a point of a search whose loss became infinite. That is its result.
            - ``failed``: its last run failed.
            - ``stale``: its result is made of other content.
            - ``damaged``: its result or its checkpoint cannot be read.
            - ``missing``: it has no result.
            - ``waiting``: what it needs is not done.
            - ``blocked``: what it needs failed.
        reason: why it is not done; empty if it is.
        result: the result, if there is a valid one.
    """

    kind: Kind
    reason: str = ""
    result: Result | None = None

    @property
    def over(self) -> bool:
        """Whether nothing is left to run."""
        return self.kind in ("done", "diverged")


def state_of(cell: Cell, result: Result) -> State:
    """The state that a result gives, if it is known to be current."""
    if result.status != "failed":
        return State("done", "", result)
    diverged = cell.point is not None and result.diverged  # anywhere else that is a failure
    return State("diverged" if diverged else "failed", result.reason or "", result)


class Survey:
    """One look at the folder of a suite. Each cell is looked up once; for another look, make another survey.

    No method raises for what lies in the folder of a cell: that is its state.

    Args:
        workspace: the suite and its folder.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.suite = workspace.suite
        self._states: dict[Cell, State] = {}

    # -- how cells stand --------------------------------------------------------------------------------------------

    def state(self, cell: Cell) -> State:
        """How a cell stands."""
        if cell not in self._states:
            self._states[cell] = self._obstacle(cell) or self._own(cell)
        return self._states[cell]

    def states(self, cells: Iterable[Cell] | None = None) -> dict[Cell, State]:
        """How cells stand; default: all of the suite."""
        return {cell: self.state(cell) for cell in (self.workspace.cells if cells is None else cells)}

    def results(self, cells: Iterable[Cell] | None = None) -> dict[Cell, Result]:
        """The results of the cells that are done; default: of the whole suite."""
        states = self.states(cells)
        return {cell: state.result for cell, state in states.items() if state.kind == "done" and state.result}

    def _obstacle(self, cell: Cell) -> State | None:
        """The state of a cell that cannot run yet; None if everything that it needs is there."""
        parent = self.suite.parent_of(cell)
        if parent is not None and (before := self.state(parent)).kind != "done":
            if before.kind == "failed":
                return State("blocked", f"not run: pre-training failed ({before.reason})")
            return State("waiting", f"its pre-training is not done ({before.reason})")
        points = self.states(self.suite.points_of(cell))
        for point, state in points.items():
            if state.kind in ("failed", "blocked"):
                return State("blocked", f"not run: {point.point} of its search failed ({state.reason})")
        done = sum(state.over for state in points.values())
        if done < len(points):
            return State("waiting", f"its search is not done ({done} of {len(points)} trainings)")
        if points and self.point(cell) is None:
            return State("blocked", "not run: every point of its search diverged")
        return None

    def _own(self, cell: Cell) -> State:
        """The state of a cell by its own folder; what it needs is done."""
        folder = self.workspace.dir(cell)
        try:
            result = read_result(folder)
        except ResultsError as error:
            return State("damaged", str(error))
        if result is None:
            return State("missing", "not run yet")
        try:
            current = self.identity(cell)
        except MixedAEError as error:
            return State("stale", f"cannot be checked: {error}", result)
        assert current is not None  # what it needs is done
        if current.dataset_fingerprint is None:  # the data is not here: taken as unchanged, and said in the table
            current = current.model_copy(update={"dataset_fingerprint": result.identity.dataset_fingerprint})
        if self.workspace.weights_absent(cell):
            current = current.model_copy(update={"weights_sha256": result.identity.weights_sha256})
        if changes := result.identity.changes(current):
            return State("stale", changes, result)
        if result.status != "failed":
            if absent := [metric.name for metric in self._metrics(cell) if metric.key not in result.values]:
                return State("stale", f"it did not measure {', '.join(absent)}", result)
            if changed := self._edited(cell, result):
                return State("damaged", changed)
            if cell.task is None and result.checkpoint and not result.checkpoint.holds(folder):
                file = folder / result.checkpoint.file
                if (folder / ELSEWHERE).is_file() and not file.exists():
                    return state_of(cell, result)
                return State("damaged", f"{file} is absent or is no longer what it was")
            if (point := self.copied_from(cell)) is not None:
                best = self.state(point).result
                if best is not None and best.finished != result.finished:
                    return State("stale", "the best point of its search was trained again", result)
        return state_of(cell, result)

    def _edited(self, cell: Cell, result: Result) -> str:
        """Which value of a result is not what its run measured, in words; empty if all are."""
        if result.run is None:
            return ""
        record = read_json(self.workspace.dir(cell) / RECORD, default={})
        for metric in self._metrics(cell):
            sources = [result.run.metrics, *([record["metrics"]] if record.get("metrics") else [])]
            for measured in (metric.read(source) for source in sources):
                if result.values[metric.key] != measured:
                    return f"{metric.name} is {result.values[metric.key]} in {RESULT}, its run measured {measured}"
        return ""

    def _metrics(self, cell: Cell) -> tuple[Metric, ...]:
        return self.suite.cards[cell.task].metrics if cell.task else ()

    # -- what they are made of --------------------------------------------------------------------------------------

    def variant(self, cell: Cell) -> Variant:
        """What the cell trains; until its search is done, the recipe without the values that will be chosen."""
        return self.suite.variant_of(cell, self.point(cell))

    def recipe(self, cell: Cell) -> Recipe:
        """The cell's resolved recipe.

        Raises:
            ConfigError: the recipe does not resolve.
        """
        return self.workspace.recipe(self.variant(cell))

    def weights(self, cell: Cell) -> Path | None:
        """The checkpoint file that a transfer starts from; None for random initialisation and for a pre-training.

        Raises:
            ResultsError: the pre-training is not done.
            WeightsError: the file does not exist.
        """
        parent = self.suite.parent_of(cell)
        if parent is None:
            return self.workspace.checkpoint_file(cell.pretraining) if cell.task is not None else None
        state = self.state(parent)
        if state.kind != "done" or state.result is None or state.result.checkpoint is None:
            raise ResultsError(f"the pre-training of {cell.name} is not done: {state.reason}")
        file = self.workspace.dir(parent) / state.result.checkpoint.file
        if not file.exists():
            raise WeightsError(
                f"{file} is absent: the pre-training was finished elsewhere. Copy its checkpoint (SHA-256 "
                f"{state.result.checkpoint.sha256[:12]}) there, or run the pre-training again (--force --only "
                f"'{parent.name}')"
            )
        return file

    def identity(self, cell: Cell) -> Identity | None:
        """What the cell's result must be made of now; None if that depends on cells that are not done.

        Raises:
            ConfigError: the recipe does not resolve.
            DataError: the data is absent.
            WeightsError: the checkpoint file is absent.
        """
        parent, weights = self.suite.parent_of(cell), None
        if parent is not None:
            state = self.state(parent)
            if state.kind != "done" or state.result is None or state.result.checkpoint is None:
                return None
            weights = state.result.checkpoint.sha256
        elif not self.workspace.weights_absent(cell) and (path := self.weights(cell)) is not None:
            weights = self.workspace.content(path)
        if self.suite.points_of(cell) and self.point(cell) is None:
            return None
        recipe = self.recipe(cell)
        return Identity(
            weights_sha256=weights,
            recipe_hash=recipe.hash,
            dataset_fingerprint=self.workspace.fingerprint(cell),
            card_version=self.suite.cards[cell.task].version if cell.task else None,
            seed=cell.seed,
            effective_batch=recipe.effective_batch(self.workspace.launch.world_size),
            precision=recipe.precision,
            limit=self.workspace.limit,
        )

    def epochs(self, pretraining: str) -> float | None:
        """Effective epochs of a pre-training (epochs x :attr:`Recipe.seen`), as its recipe plans them, else as its runs
        recorded them; None without either.
        """
        if self.suite.pretrainings[pretraining].config is None:
            return None
        cells = [cell for cell in self.workspace.cells if cell.pretraining == pretraining and cell.task is None]
        for cell in cells:
            try:
                if (planned := self.recipe(cell).epochs) is not None:
                    return planned * self.recipe(cell).seen
                if (result := read_result(self.workspace.dir(cell))) is not None and result.run is not None:
                    epochs = result.run.epochs
                    return None if epochs is None else epochs * self.recipe(cell).seen
            except MixedAEError:  # it is shown as missing, with this reason
                continue
        return None

    def seen(self, pretraining: str) -> float:
        """:attr:`Recipe.seen` of a pre-training's recipe; 1 without one."""
        cells = [cell for cell in self.workspace.cells if cell.pretraining == pretraining and cell.task is None]
        try:
            return self.recipe(cells[0]).seen if cells else 1.0
        except MixedAEError:
            return 1.0

    # -- what searches chose ----------------------------------------------------------------------------------------

    def _search(self, cell: Cell) -> Search | None:
        return self.suite.search_of(cell.task) if cell.task else None

    def point(self, cell: Cell) -> str | None:
        """Which point of its search a cell trains.

        Returns:
            Its own for a point's cell, the best for the task's cell; None without a search, before every point has
            ended, and if every point diverged.
        """
        if cell.point is not None:
            return cell.point
        found = self.choice(cell)
        return found.point if found else None

    def copied_from(self, cell: Cell) -> Cell | None:
        """The point whose result is the task's own, if its search holds out no pictures; else None."""
        search = self._search(cell)
        if search is None or search.overlay or cell.point or (point := self.point(cell)) is None:
            return None
        return replace(cell, point=point)

    def choice(self, cell: Cell) -> Choice | None:
        """What the search of a task's cell found; None without a search, before it is done, and if all diverged."""
        search, points = self._search(cell), self.states(self.suite.points_of(cell))
        if search is None or not points or not all(state.over for state in points.values()):
            return None
        metric = self.suite.cards[cell.task or ""].metrics[0]
        scores = {
            each.point or "": state.result.values[metric.key] if state.kind == "done" and state.result else None
            for each, state in points.items()
        }
        point = search.best(scores, metric.higher_is_better)
        if point is None:
            return None
        diverged = sum(score is None for score in scores.values())
        return Choice(point=point, score=scores[point] or 0.0, points=len(scores), diverged=diverged)
