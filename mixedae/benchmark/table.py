"""The comparison as data: rows are pre-trainings, columns are metrics; all that a rendering prints is here."""

from pathlib import Path
from typing import Any

from mixedae.benchmark.cards import Metric
from mixedae.benchmark.comparisons import PairedTests, adjust
from mixedae.benchmark.published import PublishedRef
from mixedae.benchmark.results import Result
from mixedae.benchmark.schema import Strict
from mixedae.benchmark.stats import PairedTest, Spread, paired_difference, spread
from mixedae.benchmark.suites import Cell, Suite
from mixedae.benchmark.workspace import State, Workspace


class PublishedValue(Strict):
    """A published number beside ours.

    Attributes:
        value: as printed.
        difference: to the published baseline of the same epochs.
        epochs: pre-training epochs.
        source: paper, table.
        tolerance: how close counts as reproduced.
        reproduced, difference_reproduced: whether our mean, our difference is that close; None where there is none.
        derived: why the number is derived rather than read, if it is.
    """

    value: float
    difference: float | None
    epochs: int | None
    source: str
    tolerance: float | None
    reproduced: bool | None
    difference_reproduced: bool | None = None
    derived: str | None


class Entry(Strict):
    """One pre-training's result in one column.

    Attributes:
        values: seed to value.
        spread: over seeds; None where nothing is there.
        difference: to the baseline, paired by seed; None for the baseline itself.
        paired: the test of that difference on the shared test images.
        unpaired: why there is no such test, or which seeds it leaves out.
        published: the published counterpart.
        missing: seed to reason.
    """

    values: dict[int, float] = {}
    spread: Spread | None = None
    difference: Spread | None = None
    paired: PairedTest | None = None
    unpaired: str = ""
    published: PublishedValue | None = None
    missing: dict[int, str] = {}


class Column(Strict):
    """One metric of one task."""

    task: str
    title: str
    metric: str
    name: str
    higher_is_better: bool


class Row(Strict):
    """One pre-training.

    Attributes:
        pretraining, title: its name, and what the table prints.
        epochs: of pre-training; None for random initialisation.
        baseline: title of the row that its differences are taken to.
        published_only: a row of a published table, without runs of ours.
        entries: one a column.
    """

    pretraining: str
    title: str
    epochs: float | None = None
    baseline: str | None = None
    published_only: bool = False
    entries: tuple[Entry, ...]


class Comparison(Strict):
    """The whole table.

    Attributes:
        suite, title: which suite.
        watermark: printed with every rendering.
        seeds: the seeds that were asked for.
        columns, rows: the table.
        footnotes: what a reader must know, in order.
    """

    suite: str
    title: str
    watermark: str | None
    seeds: tuple[int, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...]

    def blocks(self) -> list[tuple[str, tuple[Row, ...]]]:
        """The rows by pre-training epochs, each block a table of its own: fewer epochs never share a column with more.

        Returns:
            Heading (empty where there is one block) and rows; rows without pre-training stand in every block.
        """
        epochs = sorted({row.epochs for row in self.rows if row.epochs is not None})
        if len(epochs) < 2:
            return [("", self.rows)]
        return [
            (f"{count:g} epochs of pre-training", tuple(row for row in self.rows if row.epochs in (None, count)))
            for count in epochs
        ]


def compare(workspace: Workspace) -> Comparison:
    """Collect the cells of a suite, whatever there is of them, into a table."""
    from mixedae.benchmark.footnotes import footnotes

    suite = workspace.suite
    states = {cell: workspace.state(cell) for cell in workspace.cells}
    results = {cell: state.result for cell, state in states.items() if state.kind == "done" and state.result}
    measured = [(task, metric) for task, card in suite.cards.items() for metric in card.metrics]
    epochs = {name: workspace.epochs(name) for name in suite.pretrainings}
    rows = [_row(workspace, name, states, results, epochs) for name in suite.pretrainings]
    rows = _with_holm(rows)
    rows += [_published_row(suite, ref) for ref in suite.published_rows if not workspace.limit]
    watermarks = (
        [f"LIMITED to {workspace.limit} iterations a run: these numbers mean nothing."] if workspace.limit else []
    )
    watermarks += [suite.watermark] if suite.watermark else []
    return Comparison(
        suite=suite.name,
        title=workspace.title,
        watermark=" ".join(watermarks) or None,
        seeds=tuple(sorted({cell.seed for cell in workspace.cells})),
        columns=tuple(
            Column(
                task=task,
                title=suite.cards[task].title,
                metric=metric.key,
                name=metric.name,
                higher_is_better=metric.higher_is_better,
            )
            for task, metric in measured
        ),
        rows=tuple(rows),
        footnotes=tuple(footnotes(workspace, rows, results, epochs)),
    )


def _row(
    workspace: Workspace,
    name: str,
    states: dict[Cell, State],
    results: dict[Cell, Result],
    epochs: dict[str, float | None],
) -> Row:
    """One pre-training: values, differences to its baseline and their tests, published counterparts."""
    suite = workspace.suite
    seeds = sorted({cell.seed for cell in states})
    base = suite.baseline_of(name)
    if base is not None and suite.pretrainings[name].config and epochs[base] != epochs[name]:
        base = None  # never fewer epochs against more; a footnote says so
    tests = PairedTests(workspace.folder)

    def found(pretraining: str, task: str) -> dict[int, tuple[Path, Result]]:
        cells = {seed: Cell(pretraining, task, seed) for seed in seeds}
        return {seed: (workspace.dir(cell), results[cell]) for seed, cell in cells.items() if cell in results}

    entries = []
    for task, card in suite.cards.items():
        mine, others = found(name, task), found(base, task) if base else {}
        for metric in card.metrics:
            ours = {seed: result.values[metric.key] for seed, (_, result) in mine.items()}
            theirs = {seed: result.values[metric.key] for seed, (_, result) in others.items()}
            difference = paired_difference(ours, theirs) if base else None
            paired, unpaired = tests.test(mine, others, metric) if difference else (None, "")
            mean = spread(list(ours.values()))
            entries.append(
                Entry(
                    values=ours,
                    spread=mean,
                    difference=difference,
                    paired=paired,
                    unpaired=unpaired,
                    published=None  # nothing shortened stands beside a published number
                    if workspace.limit
                    else _published(suite, name, base, metric, epochs[name], mean, difference),
                    missing={
                        seed: _reason(states[cell]) for seed in seeds if (cell := Cell(name, task, seed)) not in results
                    },
                )
            )
    return Row(
        pretraining=name,
        title=suite.title_of(name),
        epochs=epochs[name],
        baseline=suite.title_of(base) if base else None,
        entries=tuple(entries),
    )


def _with_holm(rows: list[Row]) -> list[Row]:
    """The rows with p adjusted for the number of comparisons in the table."""
    adjusted = iter(adjust([entry.paired for row in rows for entry in row.entries if entry.paired]))

    def entries(row: Row) -> tuple[Entry, ...]:
        return tuple(e.model_copy(update={"paired": next(adjusted)}) if e.paired else e for e in row.entries)

    return [row.model_copy(update={"entries": entries(row)}) for row in rows]


def _reason(state: State) -> str:
    """Why a value is not shown, starting with one word."""
    return state.reason if state.kind in ("missing", "blocked") else f"{state.kind}: {state.reason}"


def _published(
    suite: Suite,
    name: str,
    base: str | None,
    metric: Metric,
    epochs: float | None,
    ours: Spread | None,
    our_difference: Spread | None,
) -> PublishedValue | None:
    """The published counterpart of a value, with its difference to the published baseline of the same epochs."""
    ref = suite.pretrainings[name].published
    if ref is None or metric.published is None or epochs not in (None, ref.epochs):
        return None
    table, row = suite.published.row(ref)
    value = row.values.get(metric.published)
    if value is None:
        return None
    difference, other_ref = None, suite.pretrainings[base].published if base else None
    if other_ref is not None and (other_ref.table, other_ref.epochs) == (ref.table, ref.epochs):
        other = suite.published.row(other_ref)[1].values.get(metric.published)
        difference = round(value - other, 6) if other is not None else None
    return PublishedValue(
        value=value,
        difference=difference,
        epochs=row.epochs,
        source=table.source,
        tolerance=metric.tolerance,
        reproduced=_close(ours, value, metric.tolerance),
        difference_reproduced=_close(our_difference, difference, metric.tolerance),
        derived=row.derived.get(metric.published),
    )


def _close(ours: Spread | None, published: float | None, tolerance: float | None) -> bool | None:
    if ours is None or published is None or tolerance is None:
        return None
    return abs(ours.mean - published) <= tolerance


def _published_row(suite: Suite, ref: PublishedRef) -> Row:
    """A row of a published table beside ours."""
    table, row = suite.published.row(ref)
    entries = []
    for card in suite.cards.values():
        for metric in card.metrics:
            value = row.values.get(metric.published or "")
            entries.append(Entry() if value is None else Entry(published=_as_printed(value, metric, table.source, row)))
    return Row(
        pretraining=f"{ref.table}/{ref.method}",
        title=f"{ref.method} (published{', effective epochs' if row.effective_epochs else ''})",
        epochs=row.epochs,
        published_only=True,
        entries=tuple(entries),
    )


def _as_printed(value: float, metric: Metric, source: str, row: Any) -> PublishedValue:
    return PublishedValue(
        value=value,
        difference=None,
        epochs=row.epochs,
        source=source,
        tolerance=metric.tolerance,
        reproduced=None,
        derived=row.derived.get(metric.published),
    )
