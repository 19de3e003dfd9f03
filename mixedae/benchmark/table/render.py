"""The comparison on a terminal, in Markdown, CSV, JSON and LaTeX."""

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mixedae.benchmark.table.comparison import Comparison, Entry, Row
from mixedae.benchmark.table.footnotes import chosen_text
from mixedae.benchmark.table.stats import PairedTest, Spread

FORMATS = ("rich", "md", "csv", "json", "latex")
CSV_COLUMNS = (
    "pretraining",
    "epochs",
    "task",
    "metric",
    "higher_is_better",
    "mean",
    "std",
    "n",
    "difference_mean",
    "difference_std",
    "difference_n",
    "difference_low",
    "difference_high",
    "p",
    "p_holm",
    "tied",
    "published",
    "published_difference",
    "published_epochs",
    "chosen",
    "missing",
    "watermark",
)


def number(spread: Spread, signed: bool = False, seeds: int = 1) -> str:
    """``71.3``; ``71.3 ± 0.4`` for several seeds; ``(n=2)`` behind it where that is not the number of ``seeds``."""
    text = f"{spread.mean:+.1f}" if signed else f"{spread.mean:.1f}"
    if spread.std is not None:
        text += f" ± {spread.std:.1f}"
    if not signed and spread.n != seeds:
        text += f" (n={spread.n})"
    return text


def interval(test: PairedTest) -> str:
    """``[+0.3, +2.1]*``; ``[-0.4, +1.1] tied``."""
    text = f"[{test.low:+.1f}, {test.high:+.1f}]"
    if test.tied:
        return f"{text} tied"
    return f"{text}*" if test.p_holm is not None and test.p_holm < 0.05 else text


def verdict(within: bool | None) -> str:
    """A mark for within or outside the tolerance; empty where it cannot be said."""
    return "" if within is None else " ✓" if within else " ✗"


@dataclass(frozen=True)
class Field:
    """One field of a printed table.

    Attributes:
        parts: what it says: the number, then what stands beside it.
        within: whether it is within the tolerance of the published number; None where that cannot be said.
    """

    parts: tuple[str, ...]
    within: bool | None = None

    @property
    def text(self) -> str:
        """All of it in one line."""
        return " ".join(self.parts)


@dataclass(frozen=True)
class Grid:
    """One block of the comparison as text: what terminal, Markdown, LaTeX and HTML share.

    Attributes:
        heading: of the block; empty where there is one.
        header: one field a column.
        rows: the same width; the first column is the pre-training.
    """

    heading: str
    header: tuple[str, ...]
    rows: tuple[tuple[Field, ...], ...]


class Layout:
    """The comparison laid out.

    Attributes:
        grids: its blocks.
        notes: footnotes, those of missing cells numbered as the cells refer to them.
    """

    def __init__(self, comparison: Comparison) -> None:
        self._marks: dict[str, int] = {}
        self._comparison = comparison
        self.grids = [self._grid(heading, rows) for heading, rows in comparison.blocks()]
        self.notes = [f"[{number}] {note}" for note, number in self._marks.items()] + list(comparison.footnotes)

    def _grid(self, heading: str, rows: tuple[Row, ...]) -> Grid:
        columns = self._comparison.columns
        baselines = {row.baseline for row in rows if row.baseline}
        versus = f"Δ {baselines.pop()}" if len(baselines) == 1 else "Δ baseline" if baselines else None
        names = [column.name for column in columns]
        header = [""]
        for column in columns:
            name = column.name if names.count(column.name) == 1 else f"{column.task} {column.name}"
            header += [name + ("" if column.higher_is_better else " ↓"), *([versus] if versus else [])]
        lines = []
        for row in rows:
            fields = [Field((row.title,))]
            place = f"{row.title} ({heading})" if heading else row.title
            for column, entry in zip(columns, row.entries, strict=True):
                fields.append(self._value(row, entry, f"{place}, {column.task}"))
                if versus:
                    fields.append(self._difference(entry))
            lines.append(tuple(fields))
        return Grid(heading, tuple(header), tuple(lines))

    def _value(self, row: Row, entry: Entry, place: str) -> Field:
        published = entry.published
        if row.published_only:
            return Field((f"{published.value:.1f}",) if published else ())
        seeds = len(self._comparison.seeds)
        parts = [number(entry.spread, seeds=seeds) if entry.spread else "missing"]
        if published:
            parts.append(f"(paper {published.value:.1f}{verdict(published.reproduced)})")
        if entry.missing:
            parts.append(self._mark(entry, seeds, place))
        return Field(tuple(parts), published.reproduced if published else None)

    @staticmethod
    def _difference(entry: Entry) -> Field:
        parts = [number(entry.difference, signed=True)] if entry.difference else []
        if entry.paired:
            parts.append(interval(entry.paired))
        published = entry.published
        if published and published.difference is not None:
            parts.append(f"(paper {published.difference:+.1f}{verdict(published.difference_reproduced)})")
        return Field(tuple(parts), published.difference_reproduced if published else None)

    def _mark(self, entry: Entry, seeds: int, place: str) -> str:
        """A footnote for the missing seeds of a cell; the metrics of one task share it."""
        by_reason: dict[str, list[str]] = {}
        for seed, reason in entry.missing.items():
            by_reason.setdefault(reason, []).append(str(seed))
        texts = [f"seed {', '.join(which)}: {why}" if seeds > 1 else why for why, which in by_reason.items()]
        note = f"{place}: {'; '.join(texts)}"
        return f"[{self._marks.setdefault(note, len(self._marks) + 1)}]"


STYLES = {None: "", True: "green", False: "yellow"}


def rich_table(comparison: Comparison) -> RenderableType:
    """The table for a terminal: title, watermark, a table for each block, footnotes."""
    layout = Layout(comparison)
    parts: list[RenderableType] = []
    for grid in layout.grids:
        title = " - ".join(filter(None, (comparison.title, grid.heading)))
        table = Table(title=title, title_style="bold", caption_justify="left")
        for index, name in enumerate(grid.header):
            table.add_column(Text(name), justify="left" if index == 0 else "right", no_wrap=index == 0)
        for row in grid.rows:
            table.add_row(*(Text(field.text, STYLES[field.within]) for field in row))
        parts.append(table)
    if comparison.watermark:
        parts.append(Text(comparison.watermark, style="bold yellow"))
    parts += [Text(note, style="dim") for note in layout.notes]
    return Group(*parts)


def to_rich(comparison: Comparison) -> str:
    """The terminal's table as plain text."""
    console = Console(file=io.StringIO(), width=200, record=True)
    console.print(rich_table(comparison))
    return console.export_text()


def to_markdown(comparison: Comparison) -> str:
    """A Markdown table for each block under the title, then watermark and footnotes."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    layout = Layout(comparison)
    lines = [f"**{comparison.title}**"]
    for grid in layout.grids:
        lines += ["", f"*{grid.heading}*"] if grid.heading else []
        lines += ["", line(grid.header), "|:--|" + "--:|" * (len(grid.header) - 1)]
        lines += [line(field.text for field in row) for row in grid.rows]
    notes = ([f"**{comparison.watermark}**"] if comparison.watermark else []) + layout.notes
    lines += [text for note in notes for text in ("", note.replace("*:", "\\*:"))]
    return "\n".join(lines) + "\n"


def to_csv(comparison: Comparison) -> str:
    """One line a pre-training and metric; empty fields where there is nothing."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in comparison.rows:
        for column, entry in zip(comparison.columns, row.entries, strict=True):
            line: dict[str, object] = {
                "pretraining": row.pretraining,
                "epochs": row.epochs,
                "task": column.task,
                "metric": column.name,
                "higher_is_better": column.higher_is_better,
                "chosen": chosen_text(entry.choices),
                "missing": "; ".join(f"seed {seed}: {reason}" for seed, reason in entry.missing.items()),
                "watermark": comparison.watermark,
            }
            for prefix, spread in (("", entry.spread), ("difference_", entry.difference)):
                if spread is not None:
                    line |= {f"{prefix}mean": spread.mean, f"{prefix}std": spread.std, f"{prefix}n": spread.n}
            if entry.paired is not None:
                line |= {"difference_low": entry.paired.low, "difference_high": entry.paired.high}
                line |= {"p": entry.paired.p, "p_holm": entry.paired.p_holm, "tied": entry.paired.tied}
            if entry.published is not None:
                line["published"] = entry.published.value
                line["published_difference"] = entry.published.difference
                line["published_epochs"] = entry.published.epochs
            writer.writerow(line)
    return out.getvalue()


def to_json(comparison: Comparison) -> str:
    """The whole comparison; ``Comparison.model_validate_json`` reads it back."""
    return comparison.model_dump_json(indent=2) + "\n"


LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "↓": r"$\downarrow$",
    "✓": r"$\surd$",
    "✗": r"$\times$",
    "[": r"{[}",
    "]": r"{]}",
}


def to_latex(comparison: Comparison) -> str:
    """A table environment for the package booktabs; watermark and footnotes stand below the table."""

    def escape(text: str) -> str:
        return "".join(LATEX.get(character, character) for character in text)

    def line(cells: Iterable[str]) -> str:
        return "    " + " & ".join(escape(cell) for cell in cells) + r" \\"

    layout = Layout(comparison)
    notes = ([comparison.watermark] if comparison.watermark else []) + layout.notes
    lines = [r"\begin{table}", r"  \centering", rf"  \caption{{{escape(comparison.title)}}}"]
    for grid in layout.grids:
        lines += [rf"  \par {escape(grid.heading)}\par"] if grid.heading else []
        lines += [rf"  \begin{{tabular}}{{l{'r' * (len(grid.header) - 1)}}}", r"    \toprule", line(grid.header)]
        lines += [r"    \midrule", *(line(field.text for field in row) for row in grid.rows)]
        lines += [r"    \bottomrule", r"  \end{tabular}"]
    lines += [*(rf"  \par\footnotesize {escape(note)}" for note in notes), r"\end{table}", ""]
    return "\n".join(lines)


RENDERERS: dict[str, Callable[[Comparison], str]] = {
    "rich": to_rich,
    "md": to_markdown,
    "csv": to_csv,
    "json": to_json,
    "latex": to_latex,
}
