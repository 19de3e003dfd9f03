"""What a user sees while a suite runs: a live board on a terminal, plain lines elsewhere."""

import signal
import time
from collections.abc import Mapping

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.run.views import CellView, Shown, time_left
from mixedae.wording import duration

SYMBOLS: dict[Shown, tuple[str, str]] = {
    "waiting": ("·", "dim"),
    "running": ("▶", "cyan"),
    "elsewhere": ("◌", "cyan"),
    "done": ("✓", "green"),
    "cached": ("✓", "green"),
    "diverged": ("≁", "yellow"),
    "failed": ("✗", "bold red"),
    "blocked": ("–", "red"),
}


class Board:
    """Shows nothing; the base of the boards and what tests use."""

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, *error: object) -> None:
        """Close the board."""

    def begin(self, views: Mapping[Cell, CellView], workers: int) -> None:
        """The suite starts.

        Args:
            views: the cells; the runner changes them in place.
            workers: cells that run at the same time.
        """
        self.views, self.workers, self.started = views, workers, time.monotonic()

    def event(self, view: CellView) -> None:
        """A cell started, ended, or was found to be held by another process."""

    def refresh(self) -> None:
        """Time has passed."""

    def end(self, interrupted: int | None) -> None:
        """The suite ended, by an interrupt if a signal's number is given."""

    def summary(self) -> str:
        """Counts and times in one line."""
        states = [view.state for view in self.views.values()]
        done = sum(view.done for view in self.views.values())
        parts = [f"{done}/{len(states)} cells done"]
        for state, word in (("running", "running"), ("elsewhere", "in another process"), ("waiting", "waiting")):
            if count := states.count(state):  # type: ignore[arg-type]
                parts.append(f"{count} {word}")
        if diverged := states.count("diverged"):
            parts.append(f"{diverged} diverged")
        if failed := states.count("failed"):
            parts.append(f"{failed} failed")
        if blocked := states.count("blocked"):
            parts.append(f"{blocked} not run")
        text = f"{', '.join(parts)}; {duration(time.monotonic() - self.started)} elapsed"
        if any(view.open for view in self.views.values()):
            left = time_left(self.views, self.workers)
            text += f", about {duration(left)} left" if left is not None else ""
        return text


def describe(view: CellView) -> str:
    """A cell's last event in one line."""
    note = f" ({view.note})" if view.note else ""
    if view.state == "running":
        return f"start   {view.cell.name}{note}"
    if view.state in ("done", "cached"):
        return f"done    {view.cell.name}: {view.numbers or 'checkpoint'} ({duration(view.seconds)})"
    if view.state in ("failed", "blocked", "diverged"):
        return f"{view.state:7s} {view.cell.name}: {view.reason}"
    return f"{view.state:7s} {view.cell.name}{note}"


def interruption(number: int) -> str:
    """What to say after a signal."""
    return f"interrupted ({signal.Signals(number).name}): start again to continue"


class PlainBoard(Board):
    """Lines for logs and pipes: one when a cell starts or ends, and every ``every`` seconds one about the suite."""

    def __init__(self, console: Console, every: float = 30.0) -> None:
        self.console = console
        self.every = every

    def _print(self, text: str) -> None:
        stamp = time.strftime("%H:%M:%S")
        self.console.print(f"[{stamp}] {text}", markup=False, highlight=False, soft_wrap=True)

    def begin(self, views: Mapping[Cell, CellView], workers: int) -> None:
        """Say what is there already."""
        super().begin(views, workers)
        self._last = time.monotonic()
        self._print(self.summary())

    def event(self, view: CellView) -> None:
        """One line for the cell."""
        self._print(describe(view))

    def refresh(self) -> None:
        """The status line, when it is time."""
        if time.monotonic() - self._last < self.every:
            return
        self._last = time.monotonic()
        running = [view for view in self.views.values() if view.state == "running"]
        details = [
            f"{view.cell.name}: {view.step}" + (f", loss {view.loss}" if view.loss else "") + f", {_left(view)}"
            for view in running
        ]
        self._print("; ".join([self.summary(), *details]))

    def end(self, interrupted: int | None) -> None:
        """The last line."""
        self._print(f"{interruption(interrupted)}; {self.summary()}" if interrupted else self.summary())


def _left(view: CellView) -> str:
    return f"{duration(view.eta)} left" if view.eta is not None else f"{duration(view.seconds)} so far"


class LiveBoard(Board):
    """A board that redraws itself: all cells as a matrix, progress of the running ones, reasons of the failed ones.

    Args:
        console: the terminal.
        title: the suite's title.
    """

    def __init__(self, console: Console, title: str) -> None:
        self.title = title
        self.views: Mapping[Cell, CellView] = {}
        # No refresh thread: the runner redraws, and its forks stay safe.
        self.live = Live(console=console, auto_refresh=False, vertical_overflow="ellipsis")
        self._last = 0.0

    def __enter__(self) -> "LiveBoard":
        self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the last picture on the terminal."""
        self.live.stop()

    def begin(self, views: Mapping[Cell, CellView], workers: int) -> None:
        """The first picture."""
        super().begin(views, workers)
        self._draw()

    def event(self, view: CellView) -> None:
        """A cell changed."""
        self._draw()

    def refresh(self) -> None:
        """Redraw twice a second."""
        if time.monotonic() - self._last >= 0.5:
            self._draw()

    def end(self, interrupted: int | None) -> None:
        """The last picture."""
        self._draw()
        if interrupted:
            self.live.console.print(interruption(interrupted))

    def _draw(self) -> None:
        self._last = time.monotonic()
        self.live.update(self.render(), refresh=True)

    def render(self) -> RenderableType:
        """The board as it is now."""
        parts: list[RenderableType] = [Text(self.title, style="bold"), self._matrix()]
        running = [view for view in self.views.values() if view.state in ("running", "elsewhere")]
        if running:
            table = Table("running", "step", "loss", "so far", "time", "left", box=None, padding=(0, 2, 0, 0))
            for view in running:
                step = view.note if view.state == "elsewhere" else view.step
                left = duration(view.eta) if view.eta is not None else ""
                table.add_row(*map(Text, (view.cell.name, step, view.loss, view.metric, duration(view.seconds), left)))
            parts.append(table)
        for view in self.views.values():
            if view.state == "failed":
                parts.append(Text(f"✗ {view.cell.name}: {view.reason}", style="red"))
        parts.append(Text(self.summary(), style="dim"))
        return Group(*parts)

    def _matrix(self) -> Table:
        """Pre-trainings x kinds: progress of a search, one symbol per seed, and the numbers if there is one seed."""
        kinds = list(dict.fromkeys(view.cell.kind for view in self.views.values()))
        table = Table("", *kinds, box=None, padding=(0, 2, 0, 0))
        transfers_first = sorted(self.views, key=lambda cell: cell.task is None)  # these are in the suite's order
        for pretraining in dict.fromkeys(cell.pretraining for cell in transfers_first):
            row = [Text(pretraining)]
            for kind in kinds:
                here = [v for c, v in self.views.items() if (c.pretraining, c.kind) == (pretraining, kind)]
                views = [view for view in here if view.cell.point is None]
                points = [view for view in here if view.cell.point is not None]
                over = sum(view.done or view.state == "diverged" for view in points)
                text = Text(f"{over}/{len(points)} " if points else "", "dim")
                for view in views:
                    symbol, style = SYMBOLS[view.state]
                    text.append(symbol, style)
                if len(views) == 1 and views[0].numbers:
                    text.append(f" {views[0].numbers}")
                row.append(text)
            table.add_row(*row)
        return table


def make_board(console: Console, title: str) -> Board:
    """The live board on a terminal, plain lines elsewhere."""
    return LiveBoard(console, title) if console.is_terminal else PlainBoard(console)
