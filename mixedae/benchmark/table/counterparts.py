"""Published numbers beside ours: the counterpart of a value, and rows of published tables."""

from collections.abc import Iterable

from mixedae.benchmark.plan.cards import Metric
from mixedae.benchmark.plan.published import PublishedRef, PublishedRow
from mixedae.benchmark.plan.suites import Suite
from mixedae.benchmark.table.comparison import Entry, PublishedValue, Row
from mixedae.benchmark.table.stats import Spread


def counterpart(
    suite: Suite,
    name: str,
    base: str | None,
    metric: Metric,
    epochs: float | None,
    ours: Spread | None,
    our_difference: Spread | None,
) -> PublishedValue | None:
    """The published counterpart of a value, with its difference to the published baseline of the same epochs."""
    ref = suite.pretrainings[name].published
    if ref is None or metric.published is None or not comparable(epochs, ref.epochs):
        return None
    table, row = suite.published.row(ref)
    value = row.values.get(metric.published)
    if value is None:
        return None
    difference, other_ref = None, suite.pretrainings[base].published if base else None
    if other_ref is not None and other_ref.table == ref.table and comparable(other_ref.epochs, ref.epochs):
        other = suite.published.row(other_ref)[1].values.get(metric.published)
        difference = round(value - other, 6) if other is not None else None
    compared = {
        "difference": difference,
        "reproduced": _close(ours, value, metric.tolerance),
        "difference_reproduced": _close(our_difference, difference, metric.tolerance),
    }
    return _printed(table.source, row, metric).model_copy(update=compared)


def comparable(epochs: float | None, others: float | None) -> bool:
    """Whether two pre-trainings may be compared: their epochs are equal, or one of them is unknown."""
    return epochs == others or epochs is None or others is None


def _close(ours: Spread | None, published: float | None, tolerance: float | None) -> bool | None:
    if ours is None or published is None or tolerance is None:
        return None
    return abs(ours.mean - published) <= tolerance


def published_row(suite: Suite, ref: PublishedRef, metrics: Iterable[Metric]) -> Row:
    """A row of a published table beside ours.

    Args:
        suite: the suite.
        ref: which row.
        metrics: of the columns.
    """
    table, row = suite.published.row(ref)
    entries = [
        Entry(published=None if row.values.get(metric.published or "") is None else _printed(table.source, row, metric))
        for metric in metrics
    ]
    return Row(
        pretraining=f"{ref.table}/{ref.method}",
        title=f"{ref.method} (published{', effective epochs' if row.effective_epochs else ''})",
        epochs=row.epochs,
        published_only=True,
        entries=tuple(entries),
    )


def _printed(source: str, row: PublishedRow, metric: Metric) -> PublishedValue:
    """The value that a published table prints for a metric, which it has."""
    column = metric.published or ""
    value = row.values[column]
    assert value is not None
    return PublishedValue(
        value=value, epochs=row.epochs, source=source, tolerance=metric.tolerance, derived=row.derived.get(column)
    )
