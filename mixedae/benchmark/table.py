"""The comparison as data: rows are pre-trainings, columns are metrics; all that a rendering prints is here."""

from mixedae.benchmark.cards import Metric
from mixedae.benchmark.published import PublishedRef
from mixedae.benchmark.results import Result
from mixedae.benchmark.schema import Strict
from mixedae.benchmark.stats import Spread, paired_difference, spread
from mixedae.benchmark.suites import Cell
from mixedae.benchmark.workspace import Workspace


class PublishedValue(Strict):
    """A published number beside ours.

    Attributes:
        value: as printed.
        difference: to the published baseline of the same epochs.
        epochs: pre-training epochs.
        source: paper, table.
        tolerance: how close counts as reproduced.
        reproduced: whether our mean is that close; None without a value of ours or a tolerance.
        derived: why the number is derived rather than read, if it is.
    """

    value: float
    difference: float | None
    epochs: int
    source: str
    tolerance: float | None
    reproduced: bool | None
    derived: str | None


class Entry(Strict):
    """One pre-training's result in one column.

    Attributes:
        values: seed to value.
        spread: over seeds; None where nothing is there.
        difference: to the baseline, paired by seed; None for the baseline itself.
        published: the published counterpart.
        missing: seed to reason.
    """

    values: dict[int, float]
    spread: Spread | None
    difference: Spread | None
    published: PublishedValue | None
    missing: dict[int, str]


class Column(Strict):
    """One metric of one task."""

    task: str
    title: str
    metric: str
    name: str
    higher_is_better: bool


class Row(Strict):
    """One pre-training."""

    pretraining: str
    title: str
    entries: tuple[Entry, ...]


class Comparison(Strict):
    """The whole table.

    Attributes:
        suite, title: which suite.
        watermark: printed with every rendering.
        seeds: the seeds that were asked for.
        baseline: title of the row to which differences are taken.
        columns, rows: the table.
        footnotes: what a reader must know, in order.
    """

    suite: str
    title: str
    watermark: str | None
    seeds: tuple[int, ...]
    baseline: str | None
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...]


def compare(workspace: Workspace) -> Comparison:
    """Collect the cells of a suite, whatever there is of them, into a table."""
    suite = workspace.suite
    states = {cell: workspace.state(cell) for cell in workspace.cells}
    results = {cell: state.result for cell, state in states.items() if state.kind == "done" and state.result}
    seeds = tuple(sorted({cell.seed for cell in workspace.cells}))
    epochs = {cell.pretraining: result.run.epochs for cell, result in results.items() if not cell.task and result.run}
    measured = [(task, metric) for task, card in suite.cards.items() for metric in card.metrics]

    def values(pretraining: str, task: str, metric: Metric) -> dict[int, float]:
        cells = {seed: Cell(pretraining, task, seed) for seed in seeds}
        return {seed: results[cell].values[metric.key] for seed, cell in cells.items() if cell in results}

    rows = []
    for name, pretraining in suite.pretrainings.items():
        entries = []
        for task, metric in measured:
            ours = values(name, task, metric)
            difference = None
            if suite.baseline is not None and name != suite.baseline:
                difference = paired_difference(ours, values(suite.baseline, task, metric))
            missing = {
                seed: _reason(states[cell].kind, states[cell].reason)
                for seed in seeds
                if (cell := Cell(name, task, seed)) not in results
            }
            ref = pretraining.published
            same_epochs = ref is not None and epochs.get(name, ref.epochs) == ref.epochs
            published = _published(workspace, ref, metric, spread(list(ours.values()))) if ref and same_epochs else None
            entries.append(
                Entry(
                    values=ours,
                    spread=spread(list(ours.values())),
                    difference=difference,
                    published=published,
                    missing=missing,
                )
            )
        rows.append(Row(pretraining=name, title=suite.title_of(name), entries=tuple(entries)))
    return Comparison(
        suite=suite.name,
        title=suite.title,
        watermark=suite.watermark,
        seeds=seeds,
        baseline=suite.title_of(suite.baseline) if suite.baseline else None,
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
        footnotes=tuple(_footnotes(workspace, rows, results, epochs)),
    )


def _reason(kind: str, reason: str) -> str:
    """Why a value is not shown, starting with one word."""
    if kind in ("missing", "blocked"):
        return reason
    return f"{kind}: {reason}"


def _published(workspace: Workspace, ref: PublishedRef, metric: Metric, ours: Spread | None) -> PublishedValue | None:
    """The published counterpart of a value, with its difference to the published baseline of the same epochs."""
    suite = workspace.suite
    table, row = suite.published.row(ref)
    if metric.published is None or metric.published not in row.values:
        return None
    value, difference = row.values[metric.published], None
    base = suite.pretrainings[suite.baseline].published if suite.baseline else None
    if base is not None and base != ref and (base.table, base.epochs) == (ref.table, ref.epochs):
        other = suite.published.row(base)[1].values.get(metric.published)
        difference = round(value - other, 6) if other is not None else None
    return PublishedValue(
        value=value,
        difference=difference,
        epochs=row.epochs,
        source=table.source,
        tolerance=metric.tolerance,
        reproduced=abs(ours.mean - value) <= metric.tolerance if ours and metric.tolerance else None,
        derived=row.derived.get(metric.published),
    )


def _footnotes(
    workspace: Workspace, rows: list[Row], results: dict[Cell, Result], epochs: dict[str, float | None]
) -> list[str]:
    """What a reader must know: the suite's notes, missing cells, notes of cells, code versions, sources."""
    suite = workspace.suite
    notes = list(suite.notes)
    if (seeds := len({cell.seed for cell in workspace.cells})) > 1:
        notes.append(
            f"Mean ± standard deviation (n - 1) over n={seeds} seeds where no other n stands; Δ is paired by seed."
        )
    elif suite.baseline:
        notes.append("One seed: the spread is unknown, and a small difference means nothing.")
    unchecked = {suite.data_of(cell).name for cell in results if workspace.data_absent(cell)}
    if unchecked:
        notes.append(
            f"The data is not here ({', '.join(sorted(unchecked))}): whether it changed since was not checked."
        )
    for cell, result in results.items():
        if cell.task:
            notes += [f"{suite.cards[cell.task].title}: {note}." for note in result.notes]
    commits = sorted({(result.provenance.commit or "unknown")[:10] for result in results.values()})
    if len(commits) > 1:
        notes.append(f"The cells were made by {len(commits)} versions of the code: {', '.join(commits)}.")
    if any(result.provenance.dirty for result in results.values()):
        notes.append("Some cells were made by code with uncommitted changes.")
    for name, pretraining in suite.pretrainings.items():
        ref = pretraining.published
        if ref is not None and epochs.get(name, ref.epochs) != ref.epochs:
            notes.append(
                f"{suite.title_of(name)}: published at {ref.epochs} epochs, ours has {epochs[name]:g}; not compared."
            )
    shown = [entry.published for row in rows for entry in row.entries if entry.published]
    notes += [f"Paper: {source}." for source in sorted({published.source for published in shown})]
    if any(published.derived for published in shown):
        notes.append("Some published numbers are derived from printed differences where the scan is damaged.")
    return list(dict.fromkeys(notes))
