"""How figures look: one style, colours that differ in lightness and suit the colour-blind, files replaced whole."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from mixedae.files import replacing, write_json

P = ParamSpec("P")
R = TypeVar("R")

COLOURS = ("#0072B2", "#D55E00", "#000000", "#56B4E9", "#E69F00", "#009E73", "#CC79A7")  # Okabe and Ito (2008)
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
HEAT = "cividis"  # its lightness rises evenly, so it reads the same in grey

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "savefig.dpi": 200,
}


def in_house_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Make a function draw under :data:`STYLE`; other figures keep their style.

    Args:
        draw: makes a figure.
    """

    @functools.wraps(draw)
    def drawn(*args: P.args, **options: P.kwargs) -> R:
        with mpl.rc_context(STYLE):
            return draw(*args, **options)

    return drawn


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """An empty figure, never shown on a screen.

    Args:
        width: in inches.
        height: in inches.
        rows: of axes.
        columns: of axes.
        **options: of ``Figure.subplots``.

    Returns:
        The figure and a (rows, columns) array of axes.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def style_of(number: int) -> dict[str, Any]:
    """Colour, marker and dashes of the n-th line.

    Args:
        number: from 0.
    """
    i = number % len(COLOURS)
    return dict(color=COLOURS[i], marker=MARKERS[i], linestyle=DASHES[i])


def show_image(axes: Any, image: Any, **options: Any) -> None:
    """Draw a picture without ticks or frame.

    Args:
        axes: matplotlib's.
        image: (3, H, W) tensor 0..1, or (H, W).
        **options: of ``imshow``.
    """
    array = np.asarray(image, dtype=float)
    axes.imshow(array.transpose(1, 2, 0).clip(0, 1) if array.ndim == 3 else array, **options)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def dots(
    axes: Any,
    names: Sequence[str],
    means: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    hollow: Sequence[bool],
) -> None:
    """Draw one row per name, from top to bottom: a dot and its interval.

    Args:
        axes: matplotlib's.
        names: of the rows.
        means: where the dots are.
        lows: left ends of the intervals.
        highs: right ends.
        hollow: rows that are baselines.
    """
    for row, (mean, low, high, is_hollow) in enumerate(zip(means, lows, highs, hollow, strict=True)):
        colour = "#777777" if is_hollow else COLOURS[0]
        axes.plot([low, high], [row, row], color=colour, linewidth=1.6, solid_capstyle="butt")
        axes.plot(mean, row, "o", color=colour, markerfacecolor="white" if is_hollow else colour)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG in one step.

    Args:
        figure: drawn.
        path: of the file.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=STYLE["savefig.dpi"])
    return path


def write_data(path: Path, kind: str, content: dict[str, Any]) -> Path:
    """Write the numbers of a figure, with the name and version of their schema in front.

    Args:
        path: of the file.
        kind: of analysis.
        content: see docs/analysis.md.
    """
    write_json(path, {"schema": f"mixedae.analysis.{kind}", "version": 1} | content)
    return path
