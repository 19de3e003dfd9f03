"""The comparison on a terminal, in Markdown, CSV, JSON and LaTeX."""

import csv
import io
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mixedae.benchmark.stats import Spread
from mixedae.benchmark.table import Comparison, Entry

FORMATS = ("rich", "md", "csv", "json", "latex")
CSV_COLUMNS = (
    "pretraining",
    "task",
    "metric",
    "higher_is_better",
    "mean",
    "std",
    "n",
    "difference_mean",
    "difference_std",
    "difference_n",
    "published",
    "published_difference",
    "published_epochs",
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


class Grid:
    """The comparison as text: what terminal, Markdown and LaTeX share.

    Attributes:
        header: one cell a column.
        rows: the same width; the first column is the pre-training.
        notes: footnotes, those of missing cells numbered as the cells refer to them.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.notes: list[str] = []
        self._marks: dict[str, int] = {}
        versus = f"Δ {comparison.baseline}" if comparison.baseline else None
        tasks = [column.task for column in comparison.columns]
        names = [column.name for column in comparison.columns]
        self.header = [""]
        for column in comparison.columns:
            arrow = "" if column.higher_is_better else " ↓"
            name = column.name if names.count(column.name) == 1 else f"{column.task} {column.name}"
            self.header += [name + arrow, *([versus] if versus else [])]
        self.rows = []
        for row in comparison.rows:
            cells = [row.title]
            for task, entry in zip(tasks, row.entries, strict=True):
                cells.append(self._value(entry, len(comparison.seeds), f"{row.title}, {task}"))
                if versus:
                    cells.append(self._difference(entry))
            self.rows.append(cells)
        self.notes += comparison.footnotes

    def _value(self, entry: Entry, seeds: int, place: str) -> str:
        parts = [number(entry.spread, seeds=seeds) if entry.spread else "missing"]
        if entry.published:
            parts.append(f"(paper {entry.published.value:.1f})")
        if entry.missing:
            parts.append(self._mark(entry, seeds, place))
        return " ".join(parts)

    @staticmethod
    def _difference(entry: Entry) -> str:
        parts = [number(entry.difference, signed=True)] if entry.difference else []
        if entry.published and entry.published.difference is not None:
            parts.append(f"(paper {entry.published.difference:+.1f})")
        return " ".join(parts)

    def _mark(self, entry: Entry, seeds: int, place: str) -> str:
        """A footnote for the missing seeds of a cell; the metrics of one task share it."""
        by_reason: dict[str, list[str]] = {}
        for seed, reason in entry.missing.items():
            by_reason.setdefault(reason, []).append(str(seed))
        texts = [f"seed {', '.join(which)}: {why}" if seeds > 1 else why for why, which in by_reason.items()]
        note = f"{place}: {'; '.join(texts)}"
        if note not in self._marks:
            self._marks[note] = len(self._marks) + 1
            self.notes.append(f"[{self._marks[note]}] {note}")
        return f"[{self._marks[note]}]"


def rich_table(comparison: Comparison) -> RenderableType:
    """The table for a terminal: title, watermark, table, footnotes."""
    grid = Grid(comparison)
    table = Table(title=comparison.title, title_style="bold", caption_justify="left")
    for index, name in enumerate(grid.header):
        table.add_column(Text(name), justify="left" if index == 0 else "right", no_wrap=index == 0)
    for row in grid.rows:
        table.add_row(*map(Text, row))
    parts: list[RenderableType] = [table]
    if comparison.watermark:
        parts.append(Text(comparison.watermark, style="bold yellow"))
    parts += [Text(note, style="dim") for note in grid.notes]
    return Group(*parts)


def to_rich(comparison: Comparison) -> str:
    """The terminal's table as plain text."""
    console = Console(file=io.StringIO(), width=200, record=True)
    console.print(rich_table(comparison))
    return console.export_text()


def to_markdown(comparison: Comparison) -> str:
    """A Markdown table under the title, then watermark and footnotes."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    grid = Grid(comparison)
    lines = [f"**{comparison.title}**", "", line(grid.header)]
    lines.append("|:--|" + "--:|" * (len(grid.header) - 1))
    lines += [line(row) for row in grid.rows]
    notes = ([f"**{comparison.watermark}**"] if comparison.watermark else []) + grid.notes
    lines += [text for note in notes for text in ("", note)]
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
                "task": column.task,
                "metric": column.name,
                "higher_is_better": column.higher_is_better,
                "missing": "; ".join(f"seed {seed}: {reason}" for seed, reason in entry.missing.items()),
                "watermark": comparison.watermark,
            }
            for prefix, spread in (("", entry.spread), ("difference_", entry.difference)):
                if spread is not None:
                    line |= {f"{prefix}mean": spread.mean, f"{prefix}std": spread.std, f"{prefix}n": spread.n}
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
    "[": r"{[}",
    "]": r"{]}",
}


def to_latex(comparison: Comparison) -> str:
    """A table environment for the package booktabs; watermark and footnotes stand below the table."""

    def escape(text: str) -> str:
        return "".join(LATEX.get(character, character) for character in text)

    def line(cells: list[str]) -> str:
        return "    " + " & ".join(escape(cell) for cell in cells) + r" \\"

    grid = Grid(comparison)
    notes = ([comparison.watermark] if comparison.watermark else []) + grid.notes
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escape(comparison.title)}}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(grid.header) - 1)}}}",
            r"    \toprule",
            line(grid.header),
            r"    \midrule",
            *(line(row) for row in grid.rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            *(rf"  \par\footnotesize {escape(note)}" for note in notes),
            r"\end{table}",
            "",
        ]
    )


RENDERERS: dict[str, Callable[[Comparison], str]] = {
    "rich": to_rich,
    "md": to_markdown,
    "csv": to_csv,
    "json": to_json,
    "latex": to_latex,
}
