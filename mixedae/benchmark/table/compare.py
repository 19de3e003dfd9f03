"""The comparison of a suite: its cells collected into a table, complete or not."""

from pathlib import Path
from typing import Any

from mixedae.benchmark.plan.cards import Metric
from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.store.results import Result
from mixedae.benchmark.store.survey import State, Survey
from mixedae.benchmark.table.comparison import Column, Comparison, Entry, Row
from mixedae.benchmark.table.counterparts import comparable, counterpart, published_row
from mixedae.benchmark.table.footnotes import footnotes
from mixedae.benchmark.table.paired import PairedTests, adjust
from mixedae.benchmark.table.stats import over_tasks, paired_difference, spread


def compare(survey: Survey) -> Comparison:
    """Collect the cells of a suite into a table, complete or not.

    Args:
        survey: of the suite's folder.
    """
    workspace, suite = survey.workspace, survey.suite
    results = survey.results()
    measured = [(task, card.title, metric) for task, card in suite.cards.items() for metric in card.metrics]
    if (average := suite.average_metric) is not None:
        measured.append((average.name, "average over the tasks", average))
    epochs = {name: survey.epochs(name) for name in suite.pretrainings}
    rows = [_row(survey, name, results, epochs) for name in suite.pretrainings]
    rows = _with_holm(rows)
    if not workspace.limit:
        rows += [published_row(suite, ref, [metric for *_, metric in measured]) for ref in suite.published_rows]
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
                title=title,
                metric=metric.key,
                name=metric.name,
                higher_is_better=metric.higher_is_better,
            )
            for task, title, metric in measured
        ),
        rows=tuple(rows),
        footnotes=tuple(
            footnotes(workspace, rows, results, epochs, {name: survey.seen(name) for name in suite.pretrainings})
        ),
    )


def _row(survey: Survey, name: str, results: dict[Cell, Result], epochs: dict[str, float | None]) -> Row:
    """One pre-training: values, differences to its baseline and their tests, published counterparts."""
    workspace, suite = survey.workspace, survey.suite
    seeds = sorted({cell.seed for cell in workspace.cells})
    base = suite.baseline_of(name)
    if base is not None and not comparable(epochs[base], epochs[name]):
        base = None  # never fewer epochs against more; a footnote says so
    tests = PairedTests(workspace.folder)

    def found(pretraining: str | None, task: str) -> dict[int, tuple[Path, Result]]:
        cells = {seed: Cell(pretraining, task, seed) for seed in seeds} if pretraining else {}
        return {seed: (workspace.dir(cell), results[cell]) for seed, cell in cells.items() if cell in results}

    def entry(metric: Metric, ours: dict[int, float], theirs: dict[int, float], **more: Any) -> Entry:
        mean, difference = spread(list(ours.values())), paired_difference(ours, theirs) if base else None
        if not workspace.limit:  # nothing shortened stands beside a published number
            more["published"] = counterpart(suite, name, base, metric, epochs[name], mean, difference)
        return Entry(values=ours, spread=mean, difference=difference, **more)

    entries, firsts, base_firsts = [], [], []
    for task, card in suite.cards.items():
        mine, others = found(name, task), found(base, task)
        choices = {seed: choice for seed in mine if (choice := survey.choice(Cell(name, task, seed)))}
        missing = {seed: _reason(survey.state(Cell(name, task, seed))) for seed in seeds if seed not in mine}
        for metric in card.metrics:
            ours, theirs = (
                {seed: result.values[metric.key] for seed, (_, result) in side.items()} for side in (mine, others)
            )
            paired, unpaired = tests.test(mine, others, metric) if ours.keys() & theirs.keys() else (None, "")
            entries.append(
                entry(metric, ours, theirs, paired=paired, unpaired=unpaired, choices=choices, missing=missing)
            )
            if metric is card.metrics[0]:
                firsts.append(ours)
                base_firsts.append(theirs)
    if (average := suite.average_metric) is not None:
        absent = {seed: sum(seed not in values for values in firsts) for seed in seeds}
        missing = {seed: f"{n} of {len(firsts)} tasks are not done" for seed, n in absent.items() if n}
        entries.append(entry(average, over_tasks(firsts), over_tasks(base_firsts), missing=missing))
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
