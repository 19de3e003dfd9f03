"""Learning curves: what mmengine wrote into ``vis_data/scalars.json`` while a cell trained."""

from dataclasses import dataclass, field
from pathlib import Path

from mixedae.records import CHANCE_SCALAR, layer_of, scalar_lines

Points = list[tuple[float, float]]


@dataclass
class Curves:
    """The scalars of one run, over epochs, or over iterations if the run does not count epochs.

    Attributes:
        loss: (time, loss) of training.
        metrics: metric to (time, value) of the validations.
        recognition: layer to (time, recognition accuracy).
        chance: (time, accuracy of guessing), beside ``recognition``.
        unit: ``epoch`` or ``iteration``.
    """

    loss: Points = field(default_factory=list)
    metrics: dict[str, Points] = field(default_factory=dict)
    recognition: dict[int, Points] = field(default_factory=dict)
    chance: Points = field(default_factory=list)
    unit: str = "epoch"


def read_curves(folder: Path, epochs: float | None) -> Curves:
    """The curves of a cell.

    Args:
        folder: the cell's folder; a resumed run has several logs. If two hold the same step, the later log counts.
        epochs: how many the run trained; None if it counts iterations.
    """
    lines = list(scalar_lines(folder))
    last = max((line["iter"] for line in lines if "iter" in line), default=0)
    curves = Curves(unit="iteration" if epochs is None else "epoch")
    scale = epochs / last if epochs and last else 1.0
    for line in lines:
        if "loss" in line and "iter" in line:
            _set(curves.loss, line["iter"] * scale, line["loss"])
            continue
        at = line.get("epoch", line.get("step", 0))
        for name, value in line.items():
            if not isinstance(value, int | float) or isinstance(value, bool):
                continue
            if (layer := layer_of(name)) is not None:
                _set(curves.recognition.setdefault(layer, []), at, value)
            elif name == CHANCE_SCALAR:
                _set(curves.chance, at, value)
            else:
                _set(curves.metrics.setdefault(name, []), at, value)
    return curves


def _set(points: Points, at: float, value: float) -> None:
    """Add a point. Points at the same or a later time are removed: a resumed run has made them again."""
    while points and points[-1][0] >= at:
        points.pop()
    points.append((float(at), float(value)))
