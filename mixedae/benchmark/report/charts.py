"""The charts of a report: trade-off, curves, frozen features, recognition; a chart without data is left out."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.published import PublishedRow
from mixedae.benchmark.report.curves import Curves, Points, read_curves
from mixedae.benchmark.report.quality import layer_charts, online_charts
from mixedae.benchmark.report.svg import Chart, Series, chart
from mixedae.benchmark.store.survey import Survey
from mixedae.benchmark.store.workspace import Workspace
from mixedae.benchmark.table.comparison import Comparison

DAY = 86400.0


def charts(survey: Survey, comparison: Comparison) -> dict[str, list[Chart]]:
    """Section to its charts.

    Args:
        survey: of the suite's folder.
        comparison: its table.
    """
    workspace, done = survey.workspace, survey.results()
    curves = {}
    for cell, result in done.items():
        epochs = result.run.epochs if result.run else None
        curves[cell] = read_curves(workspace.dir(cell), epochs)
    return {
        "trade_off": _trade_off(workspace, comparison, done),
        "curves": _curves(workspace, curves),
        "online": online_charts(workspace, curves),
        "layers": layer_charts(workspace, curves),
        "recognition": _recognition(workspace, curves),
    }


def _trade_off(workspace: Workspace, comparison: Comparison, done: dict[Cell, Any]) -> list[Chart]:
    """Metric against pre-training cost (Fig. 1): published points, and ours on the machine that made them."""
    suite, found = workspace.suite, []
    tables = {p.published.table for p in suite.pretrainings.values() if p.published}
    columns = [(card, metric) for card in suite.cards.values() for metric in card.metrics]
    costs = _costs(done)
    unit, seconds = ("GPU days (published: V100)", DAY) if tables else ("minutes x processes", 60.0)
    looks: dict[str, int] = {}
    for row in comparison.rows:
        if not row.published_only:
            looks.setdefault(row.title, len(looks) + 1)
    for index, (card, metric) in enumerate(columns):
        series, said = [], []
        for table in sorted(tables) if metric.published else []:
            series += _published(suite.published.tables[table].rows, metric.published, looks)
        if series:
            points = [point for item in series for run in item.runs for point in run]
            cheapest, dearest = min(points)[0], max(points)[0]
            said.append(f"{len(points)} published points from {cheapest:g} to {dearest:g} GPU days")
        for row in (row for row in comparison.rows if not row.published_only):
            entry = row.entries[index]
            unknown = suite.pretrainings[row.pretraining].checkpoint is not None  # what a file cost
            if entry.spread is not None and not unknown:
                at = costs.get(row.pretraining, 0.0) / seconds
                error = entry.spread.std or 0.0
                series.append(Series(row.title, [[(at, entry.spread.mean)]], looks[row.title], line=False, error=error))
                said.append(f"{row.title} {entry.spread.mean:.1f} at {at:.3g} {unit}")
        if series:
            name = f"{card.title}: {metric.name}"
            found.append(chart(name, f"pre-training, {unit}", metric.name, series, "; ".join(said) + "."))
    return found


def _published(rows: Sequence[PublishedRow], column: str | None, looks: dict[str, int]) -> list[Series]:
    """Published points as in Fig. 1: a line for a method of several epochs, in our colour; single ones by name."""
    points: dict[str, list[tuple[float, float, int | None]]] = {}
    for row in rows:
        value = row.values.get(column or "")
        if row.gpu_days and value is not None:
            points.setdefault(row.method, []).append((row.gpu_days, value, row.epochs))
    found, single = [], []
    for method, known in points.items():
        if len(known) == 1:
            single.append((*known[0][:2], method))
            continue
        look, labels = looks.get(method, 5), [str(epochs) for *_, epochs in known]
        line = [(days, value) for days, value, _ in known]
        found.append(Series(f"{method}, published", [line], look, labels, hollow=True))
    if single:
        cloud = [(days, value) for days, value, _ in single]
        found.append(Series("others, published", [cloud], 0, [name for *_, name in single], line=False, hollow=True))
    return found


def _costs(done: dict[Cell, Any]) -> dict[str, float]:
    """Seconds of pre-training times processes, averaged over seeds."""
    spent: dict[str, list[float]] = {}
    for cell, result in done.items():
        if cell.task is None and result.run is not None:
            spent.setdefault(cell.pretraining, []).append(result.run.wall_time_s * result.run.world_size)
    return {name: fmean(values) for name, values in spent.items()}


def _curves(workspace: Workspace, curves: dict[Cell, Curves]) -> list[Chart]:
    """Pre-trainings, then each task: the first metric if it was validated on the way, else the loss."""
    found = []
    for task in (None, *workspace.suite.cards):
        card = workspace.suite.cards[task] if task else None
        here = {cell: curve for cell, curve in curves.items() if cell.task == task and cell.point is None}
        metric = card.metrics[0] if card else None
        if metric and max((len(curve.metrics.get(metric.key, [])) for curve in here.values()), default=0) < 3:
            metric = None
        series = []
        for number, name in enumerate(workspace.suite.pretrainings):
            runs = [
                _scaled(curve.metrics, metric) if metric else curve.loss
                for cell, curve in here.items()
                if cell.pretraining == name
            ]
            if any(runs):
                series.append(Series(workspace.suite.title_of(name), runs, number + 1))
        if series:
            unit, what = next(iter(here.values())).unit, metric.name if metric else "training loss"
            title = f"{card.title if card else 'Pre-training'}: {what}"
            ends = [f"{item.name} ends at {_ends(item.runs)}" for item in series]
            found.append(chart(title, unit, what, series, f"One line per seed. {'; '.join(ends)}."))
    return found


def _scaled(metrics: dict[str, Points], metric: Any) -> Points:
    return [(at, value * metric.scale) for at, value in metrics.get(metric.key, [])]


def _ends(runs: list[Points]) -> str:
    return ", ".join(f"{run[-1][1]:.3g}" for run in runs if run)


def _recognition(workspace: Workspace, curves: dict[Cell, Curves]) -> list[Chart]:
    """Accuracy of TopK sampling by layer after the last epoch, and of the last layer over epochs (Fig. 6)."""
    by_layer, by_epoch = [], []
    for number, name in enumerate(workspace.suite.pretrainings):
        runs = [c for cell, c in curves.items() if cell.pretraining == name and cell.task is None and c.recognition]
        if runs:
            title = workspace.suite.title_of(name)
            layers = [[(float(layer), points[-1][1]) for layer, points in sorted(c.recognition.items())] for c in runs]
            by_layer.append(Series(title, layers, number + 1))
            by_epoch.append(Series(title, [c.recognition[max(c.recognition)] for c in runs], number + 1))
            if chance := [c.chance for c in runs if c.chance]:
                by_layer.append(Series("chance", [[(x, chance[0][-1][1]) for x, _ in layers[0]]], 6))
                by_epoch.append(Series("chance", chance[:1], 6))
    if not by_layer:
        return []
    ends = "; ".join(f"{item.name}: {_ends(item.runs)}" for item in by_epoch)
    return [
        chart(
            "Recognition accuracy by layer",
            "layer",
            "accuracy",
            by_layer,
            f"After the last epoch. {ends} (last layer).",
        ),
        chart("Recognition accuracy of the last layer", "epoch", "accuracy", by_epoch, f"At the end: {ends}."),
    ]
