"""What a comparison consists of: rows are pre-trainings, columns are metrics; all that a rendering prints is here."""

from mixedae.benchmark.plan.schema import Strict
from mixedae.benchmark.plan.search import Choice
from mixedae.benchmark.table.stats import PairedTest, Spread


class PublishedValue(Strict):
    """A published number beside ours.

    Attributes:
        value: as printed.
        difference: to the published baseline of the same epochs.
        epochs: pre-training epochs.
        source: paper, table.
        tolerance: how close counts as reproduced.
        reproduced, difference_reproduced: whether our mean, our difference is that close; None if there is none.
        derived: why the number is derived rather than read, if it is.
    """

    value: float
    difference: float | None = None
    epochs: int | None
    source: str
    tolerance: float | None
    reproduced: bool | None = None
    difference_reproduced: bool | None = None
    derived: str | None


class Entry(Strict):
    """One pre-training's result in one column.

    Attributes:
        values: seed to value.
        spread: over seeds; None without a value.
        difference: to the baseline, paired by seed; None for the baseline itself.
        paired: the test of that difference on the shared test images.
        unpaired: why there is no such test, or which seeds it leaves out.
        published: the published counterpart.
        missing: seed to reason.
        choices: seed to what a search chose.
    """

    values: dict[int, float] = {}
    spread: Spread | None = None
    difference: Spread | None = None
    paired: PairedTest | None = None
    unpaired: str = ""
    published: PublishedValue | None = None
    missing: dict[int, str] = {}
    choices: dict[int, Choice] = {}


class Column(Strict):
    """One metric of one task, or the average over the tasks."""

    task: str
    title: str
    metric: str
    name: str
    higher_is_better: bool


class Row(Strict):
    """One pre-training.

    Attributes:
        pretraining, title: its name, and what the table prints.
        epochs: of pre-training; None for random initialisation.
        baseline: title of the row that its differences are taken to.
        published_only: a row of a published table, without runs of ours.
        entries: one per column.
    """

    pretraining: str
    title: str
    epochs: float | None = None
    baseline: str | None = None
    published_only: bool = False
    entries: tuple[Entry, ...]


class Comparison(Strict):
    """The whole table.

    Attributes:
        suite, title: which suite.
        watermark: printed with every rendering.
        seeds: the seeds that were asked for.
        columns, rows: the table.
        footnotes: what a reader must know, in order.
    """

    suite: str
    title: str
    watermark: str | None
    seeds: tuple[int, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...]

    def blocks(self) -> list[tuple[str, tuple[Row, ...]]]:
        """The rows by pre-training epochs. Each block is a table, so that different epochs never share a column.

        Returns:
            Heading (empty if there is one block) and rows. Rows without pre-training are in every block.
        """
        epochs = sorted({row.epochs for row in self.rows if row.epochs is not None})
        if len(epochs) < 2:
            return [("", self.rows)]
        return [
            (f"{count:g} epochs of pre-training", tuple(row for row in self.rows if row.epochs in (None, count)))
            for count in epochs
        ]
