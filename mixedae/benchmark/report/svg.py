"""Charts as inline SVG: drawn by matplotlib, coloured by the page's variables, so that they follow light and dark."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from mixedae.benchmark.report.curves import Points

INK, LINE, CANVAS = "#0a0b01", "#0a0b02", "#0a0b03"  # stand-ins that the page's variables replace
SERIES = tuple(f"#0a0b1{index}" for index in range(7))
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
VARIABLES = {
    INK: "var(--ink)",
    LINE: "var(--line)",
    CANVAS: "var(--card)",
    **{colour: f"var(--series-{index})" for index, colour in enumerate(SERIES)},
}


@dataclass
class Series:
    """One line, or one cloud of points.

    Attributes:
        name: in the legend.
        runs: one list of points per run; all are drawn in the same look.
        look: the number of its colour, marker and dashes.
        labels: names of single points, for clouds.
        line: whether points are joined.
        hollow: markers without filling, for numbers that are not ours.
        error: length of the bars up and down from each point.
    """

    name: str
    runs: list[Points]
    look: int
    labels: list[str] = field(default_factory=list)
    line: bool = True
    hollow: bool = False
    error: float = 0.0


@dataclass(frozen=True)
class Chart:
    """A title, and the drawing as an ``<svg>`` element."""

    title: str
    svg: str


def chart(title: str, x: str, y: str, series: Sequence[Series], description: str) -> Chart:
    """A chart, with title and description for those who do not see it.

    Args:
        title, x, y: what it shows, and its axes.
        series: what is drawn.
        description: what a reader would take from it, in a sentence or two.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": f"{title} {x} {y} {description}",  # ids must differ between the charts of a page
        "font.family": "sans-serif",
        "font.size": 10,
        **{f"axes.{key}": INK for key in ("labelcolor", "titlecolor")},
        "axes.edgecolor": LINE,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "grid.color": LINE,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "lines.markersize": 5,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(6.2, 3.7), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        axes.grid(True, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        for item in series:
            _draw(axes, item)
        if all(float(point[0]).is_integer() for item in series for run in item.runs for point in run):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))  # layers and epochs have no halves
        if len(series) > 1:
            axes.legend(loc="best", fontsize=9)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return Chart(title, _themed(out.getvalue(), title, description))


def _draw(axes: object, item: Series) -> None:
    colour, marker = SERIES[item.look % len(SERIES)], MARKERS[item.look % len(MARKERS)]
    for number, points in enumerate(run for run in item.runs if run):
        xs, ys = zip(*points, strict=True)
        axes.plot(  # type: ignore[attr-defined]
            xs,
            ys,
            color=colour,
            linestyle=DASHES[item.look % len(DASHES)] if item.line else "none",
            marker=marker if not item.line or item.hollow or len(points) < 3 else None,
            markerfacecolor=CANVAS if item.hollow else colour,
            linewidth=1.5,
            alpha=1.0,
            label=item.name if number == 0 else None,
        )
        if item.error:
            axes.errorbar(xs, ys, yerr=item.error, fmt="none", ecolor=colour, capsize=3)  # type: ignore[attr-defined]
    for (at, value), label in zip([point for run in item.runs for point in run], item.labels, strict=False):
        axes.annotate(label, (at, value), xytext=(5, 4), textcoords="offset points", fontsize=8)  # type: ignore[attr-defined]


def _themed(svg: str, title: str, description: str) -> str:
    """The ``<svg>`` alone: no prologue, no fixed size, no ids that nothing refers to, the page's colours, a name."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    referred = set(re.findall(r'(?:url\(|href=")#([\w.-]+)', svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda match: match.group(0) if match.group(1) in referred else "", svg)
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    view = re.search(r'viewBox="[^"]+"', svg)
    assert view is not None
    name = f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
    body = svg[svg.index(">") + 1 :]
    links = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    label = escape(f"{title}. {description}", {'"': "&quot;"})
    return f'<svg {links} {view.group(0)} role="img" aria-label="{label}">{name}{body.strip()}'
