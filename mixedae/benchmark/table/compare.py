"""The comparison of a suite: its cells, whatever there is of them, collected into a table."""

from pathlib import Path

from mixedae.benchmark.plan.cards import Metric
from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.store.results import Result
from mixedae.benchmark.store.survey import State, Survey
from mixedae.benchmark.table.comparison import Column, Comparison, Entry, PublishedValue, Row
from mixedae.benchmark.table.counterparts import comparable, counterpart, published_row
from mixedae.benchmark.table.footnotes import footnotes
from mixedae.benchmark.table.paired import PairedTests, adjust
from mixedae.benchmark.table.stats import Spread, over_tasks, paired_difference, spread


def compare(survey: Survey) -> Comparison:
    """Collect the cells of a suite, whatever there is of them, into a table.

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
        footnotes=tuple(footnotes(workspace, rows, results, epochs)),
    )


def _row(survey: Survey, name: str, results: dict[Cell, Result], epochs: dict[str, float | None]) -> Row:
    """One pre-training: values, differences to its baseline and their tests, published counterparts."""
    workspace, suite = survey.workspace, survey.suite
    seeds = sorted({cell.seed for cell in workspace.cells})
    base = suite.baseline_of(name)
    if base is not None and not comparable(epochs[base], epochs[name]):
        base = None  # never fewer epochs against more; a footnote says so
    tests = PairedTests(workspace.folder)

    def found(pretraining: str, task: str) -> dict[int, tuple[Path, Result]]:
        cells = {seed: Cell(pretraining, task, seed) for seed in seeds}
        return {seed: (workspace.dir(cell), results[cell]) for seed, cell in cells.items() if cell in results}

    def published(metric: Metric, ours: Spread | None, difference: Spread | None) -> PublishedValue | None:
        if workspace.limit:  # nothing shortened stands beside a published number
            return None
        return counterpart(suite, name, base, metric, epochs[name], ours, difference)

    entries, firsts, base_firsts = [], [], []
    for task, card in suite.cards.items():
        mine, others = found(name, task), found(base, task) if base else {}
        for metric in card.metrics:
            ours = {seed: result.values[metric.key] for seed, (_, result) in mine.items()}
            theirs = {seed: result.values[metric.key] for seed, (_, result) in others.items()}
            difference = paired_difference(ours, theirs) if base else None
            paired, unpaired = tests.test(mine, others, metric) if difference else (None, "")
            mean = spread(list(ours.values()))
            if metric is card.metrics[0]:
                firsts.append(ours)
                base_firsts.append(theirs)
            entries.append(
                Entry(
                    values=ours,
                    spread=mean,
                    difference=difference,
                    paired=paired,
                    unpaired=unpaired,
                    published=published(metric, mean, difference),
                    choices={seed: choice for seed in mine if (choice := survey.choice(Cell(name, task, seed)))},
                    missing={
                        seed: _reason(survey.state(cell))
                        for seed in seeds
                        if (cell := Cell(name, task, seed)) not in results
                    },
                )
            )
    if (average := suite.average_metric) is not None:
        ours = over_tasks(firsts)
        mean, difference = (
            spread(list(ours.values())),
            paired_difference(ours, over_tasks(base_firsts)) if base else None,
        )
        absent = {seed: sum(seed not in values for values in firsts) for seed in seeds}
        entries.append(
            Entry(
                values=ours,
                spread=mean,
                difference=difference,
                published=published(average, mean, difference),
                missing={seed: f"{n} of {len(firsts)} tasks are not done" for seed, n in absent.items() if n},
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
