"""The comparison on a terminal, in Markdown, CSV, JSON and LaTeX."""

import csv
import io
import re
from collections.abc import Callable, Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mixedae.benchmark.table.comparison import Comparison
from mixedae.benchmark.table.footnotes import chosen_text
from mixedae.benchmark.table.layout import Layout

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


def to_markdown(comparison: Comparison) -> str:
    """A Markdown table for each block under the title, then watermark and footnotes."""

    def plain(text: str) -> str:
        """What a suite or card says, which is no Markdown and no HTML."""
        return re.sub(r"([\\`*_<\[])", r"\\\1", text)

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    layout = Layout(comparison)
    lines = [f"**{plain(comparison.title)}**"]
    for grid in layout.grids:
        lines += ["", f"*{plain(grid.heading)}*"] if grid.heading else []
        lines += ["", line(plain(cell) for cell in grid.header), "|:--|" + "--:|" * (len(grid.header) - 1)]
        for first, *rest in grid.rows:
            lines.append(line([plain(first.text), *(field.text for field in rest)]))
    notes = ([f"**{comparison.watermark}**"] if comparison.watermark else []) + layout.notes
    lines += [text for note in notes for text in ("", note.replace("*:", "\\*:"))]
    return "\n".join(lines) + "\n"


def to_csv(comparison: Comparison) -> str:
    """One line per pre-training and metric; a field without a value is empty."""
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
    "md": to_markdown,
    "csv": to_csv,
    "json": to_json,
    "latex": to_latex,
}
