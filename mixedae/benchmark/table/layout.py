"""The comparison laid out as text: what terminal, Markdown, LaTeX and HTML share."""

from dataclasses import dataclass

from mixedae.benchmark.table.comparison import Comparison, Entry, Row
from mixedae.benchmark.table.stats import PairedTest, Spread


def number(spread: Spread, signed: bool = False, seeds: int = 1) -> str:
    """``71.3``; ``71.3 ± 0.4`` for several seeds; ``(n=2)`` behind it if that is not the number of ``seeds``."""
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
    """A mark for within or outside the tolerance; empty if that is unknown."""
    return "" if within is None else " ✓" if within else " ✗"


@dataclass(frozen=True)
class Field:
    """One field of a printed table.

    Attributes:
        parts: what it says: the number, then what stands beside it.
        within: whether it is within the tolerance of the published number; None if that is unknown.
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
        heading: of the block; empty if there is one block.
        header: one field per column.
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
