"""Charts of frozen features: their quality while an encoder is pre-trained, and by layer."""

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.report.curves import Curves, Points
from mixedae.benchmark.report.svg import Chart, Series, chart
from mixedae.benchmark.store.workspace import Workspace
from mixedae.records import ONLINE, online_scalar, probe_of

AXES = {"knn": "k-NN accuracy, %", "linear": "linear probe, accuracy in %", "rankme": "RankMe"}


def online_charts(workspace: Workspace, curves: dict[Cell, Curves]) -> list[Chart]:
    """What the online probe measured: one chart a figure, one line a pre-training and seed.

    Args:
        workspace: of the suite.
        curves: of its cells.
    """
    found = []
    for figure in ONLINE:
        series = []
        for number, name in enumerate(workspace.suite.pretrainings):
            runs = [
                points
                for cell, curve in curves.items()
                if cell.pretraining == name and cell.task is None
                for points in [curve.metrics.get(online_scalar(figure), [])]
                if points
            ]
            if runs:
                series.append(Series(workspace.suite.title_of(name), runs, number + 1))
        if series:
            ends = "; ".join(
                f"{item.name} ends at {', '.join(f'{run[-1][1]:.1f}' for run in item.runs)}" for item in series
            )
            said = f"On a few hundred fixed pictures, so a course and no result. {ends}."
            found.append(chart(f"While pre-training: {AXES[figure]}", "epoch", AXES[figure], series, said))
    return found


def layer_charts(workspace: Workspace, curves: dict[Cell, Curves]) -> list[Chart]:
    """Accuracy by layer of each task that probed all layers: one chart a probe, one line a pre-training and seed.

    Args:
        workspace: of the suite.
        curves: of its cells.
    """
    found = []
    for task, card in workspace.suite.cards.items():
        for probe in ("knn", "linear"):
            series = []
            for number, name in enumerate(workspace.suite.pretrainings):
                runs = [
                    points
                    for cell, curve in curves.items()
                    if cell.pretraining == name and cell.task == task
                    for points in [_by_layer(curve, probe)]
                    if points
                ]
                if runs:
                    series.append(Series(workspace.suite.title_of(name), runs, number + 1))
            if series:
                best = [max(run, key=lambda point: point[1]) for item in series for run in item.runs[:1]]
                said = "; ".join(
                    f"{item.name} is best at layer {layer:.0f} with {value:.1f}"
                    for item, (layer, value) in zip(series, best, strict=True)
                )
                found.append(chart(f"{card.title}: {AXES[probe]}", "layer", AXES[probe], series, f"{said}."))
    return found


def _by_layer(curve: Curves, probe: str) -> Points:
    points = []
    for metric, values in curve.metrics.items():
        found = probe_of(metric)
        if found and found[0] == probe and values:
            points.append((float(found[1]), values[-1][1]))
    return sorted(points)
