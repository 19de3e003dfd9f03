"""How a cell is shown while a suite runs, and when the suite will be done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mixedae.benchmark.plan.cards import Metric
from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.store.survey import Kind, State
from mixedae.records import Progress

Shown = Literal["waiting", "running", "elsewhere", "done", "cached", "diverged", "failed", "blocked"]
# How a cell on disk is shown; what is not listed is still to be run.
SHOWN: dict[Kind, Shown] = {"done": "cached", "diverged": "diverged", "failed": "failed", "blocked": "blocked"}


@dataclass
class CellView:
    """What is shown of a cell; the runner moves it from state to state.

    Attributes:
        cell: the cell.
        state: ``elsewhere`` if another process runs it, ``cached`` if its result was there before, ``done`` if this
            suite's run made it; else as :class:`~mixedae.benchmark.store.survey.State` calls it.
        note: one remark (why it runs again, that it resumed).
        reason: why it failed or is blocked.
        numbers: the values in words.
        seconds: how long the process has run, or took.
        progress: how far a running cell is.
    """

    cell: Cell
    state: Shown = "waiting"
    note: str = ""
    reason: str = ""
    numbers: str = ""
    seconds: float = 0.0
    progress: Progress = field(default_factory=Progress)

    @property
    def open(self) -> bool:
        """Whether something is still to come."""
        return self.state in ("waiting", "running", "elsewhere")

    @property
    def done(self) -> bool:
        """Whether there is a valid result."""
        return self.state in ("done", "cached")

    def start(self, note: str) -> None:
        """The cell's process has started."""
        self.state, self.note, self.seconds, self.progress = "running", note or self.note, 0.0, Progress()

    def elsewhere(self, holder: str) -> None:
        """Another process has the cell's lock."""
        self.state, self.note = "elsewhere", f"held by {holder}"

    def watch(self, seconds: float, progress: Progress | None) -> None:
        """A look at the running process."""
        self.seconds, self.progress = seconds, progress or self.progress

    def show(self, found: State, metrics: Sequence[Metric], made_now: bool = False) -> None:
        """Show how the cell stands on disk.

        Args:
            found: its state.
            metrics: whose values are shown.
            made_now: whether this run of the suite made the result.
        """
        self.state, self.reason = SHOWN.get(found.kind, "waiting"), found.reason
        if found.kind == "done" and (result := found.result) is not None:
            self.state = "done" if made_now else "cached"
            self.seconds = max(result.elapsed_s, result.run.wall_time_s if result.run else 0.0)
            self.numbers = ", ".join(f"{metric.name} {result.values[metric.key]:.1f}" for metric in metrics)

    @property
    def eta(self) -> float | None:
        """Seconds left by the child's own estimate."""
        return self.progress.eta_s

    @property
    def step(self) -> str:
        """``epoch 3/25`` or ``iteration 40/400``; ``starting`` before the first."""
        now = self.progress
        for done, of, name in ((now.epoch, now.max_epochs, "epoch"), (now.iter, now.max_iters, "iteration")):
            if of:
                return f"{'validation, ' if now.phase == 'val' else ''}{name} {done or 0}/{of}"
        return "starting"

    @property
    def loss(self) -> str:
        """The loss now."""
        return "" if self.progress.loss is None else f"{self.progress.loss:.4g}"

    @property
    def metric(self) -> str:
        """The first metrics of the last validation, as the library names them."""
        numbers = [(name, value) for name, value in self.progress.metrics.items() if isinstance(value, int | float)]
        return ", ".join(f"{name} {value:.4g}" for name, value in numbers[:2])


def time_left(views: Mapping[Cell, CellView], workers: int) -> float | None:
    """Estimate of the seconds until all cells are done, from cells of the same kind; None before anything is known."""
    known: dict[str, list[float]] = {}
    for view in views.values():
        if view.done:
            known.setdefault(view.cell.kind, []).append(view.seconds)
        elif view.state == "running" and view.eta is not None:
            known.setdefault(view.cell.kind, []).append(view.seconds + view.eta)
    if not known:
        return None
    typical = {kind: sum(times) / len(times) for kind, times in known.items()}
    other = sum(typical.values()) / len(typical)
    left = []
    for view in views.values():
        if view.open:
            whole = typical.get(view.cell.kind, other)
            left.append(
                view.eta if view.state == "running" and view.eta is not None else max(0.0, whole - view.seconds)
            )
    return max(sum(left) / workers, max(left, default=0.0))
