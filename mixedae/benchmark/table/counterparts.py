"""Published numbers beside ours: the counterpart of a value, and rows of published tables."""

from collections.abc import Iterable
from typing import Any

from mixedae.benchmark.plan.cards import Metric
from mixedae.benchmark.plan.published import PublishedRef
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
    return PublishedValue(
        value=value,
        difference=difference,
        epochs=row.epochs,
        source=table.source,
        tolerance=metric.tolerance,
        reproduced=_close(ours, value, metric.tolerance),
        difference_reproduced=_close(our_difference, difference, metric.tolerance),
        derived=row.derived.get(metric.published),
    )


def comparable(epochs: float | None, others: float | None) -> bool:
    """Whether two numbers of epochs are not known to differ."""
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
    entries = []
    for metric in metrics:
        value = row.values.get(metric.published or "")
        entries.append(Entry() if value is None else Entry(published=_as_printed(value, metric, table.source, row)))
    return Row(
        pretraining=f"{ref.table}/{ref.method}",
        title=f"{ref.method} (published{', effective epochs' if row.effective_epochs else ''})",
        epochs=row.epochs,
        published_only=True,
        entries=tuple(entries),
    )


def _as_printed(value: float, metric: Metric, source: str, row: Any) -> PublishedValue:
    return PublishedValue(
        value=value,
        difference=None,
        epochs=row.epochs,
        source=source,
        tolerance=metric.tolerance,
        reproduced=None,
        derived=row.derived.get(metric.published),
    )
