"""Numbers over seeds: mean, standard deviation, differences paired by seed; and what a test on shared images says."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from mixedae.benchmark.plan.schema import Strict


class Spread(Strict):
    """A mean over seeds.

    Attributes:
        mean: arithmetic mean.
        std: sample standard deviation (n - 1 in the denominator); None for a single value, whose spread is unknown.
        n: how many values.
    """

    mean: float
    std: float | None
    n: int


class PairedTest(Strict):
    """A comparison on shared test images, averaged over the seeds that both have.

    Attributes:
        low, high: 95 % interval of the difference, from a paired bootstrap over images (percentiles).
        p: two-sided; McNemar's exact test for one seed of a classification, else from the bootstrap.
        method: which of the two.
        mcnemar: seed to p of McNemar's exact test, for classifications.
        images: how many there are.
        seeds: how many pairs.
        p_holm: p adjusted for all comparisons of the table (Holm); None before it is known.
    """

    low: float
    high: float
    p: float
    method: str
    mcnemar: dict[int, float] = {}
    images: int
    seeds: int
    p_holm: float | None = None

    @property
    def tied(self) -> bool:
        """Whether the interval holds zero."""
        return self.low <= 0 <= self.high


def spread(values: Sequence[float]) -> Spread | None:
    """Mean and standard deviation; None of no values."""
    if not values:
        return None
    return Spread(mean=fmean(values), std=stdev(values) if len(values) > 1 else None, n=len(values))


def over_tasks(values: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The mean over tasks for each seed that every task has.

    Args:
        values: of each task, seed to value.
    """
    seeds = set(values[0]).intersection(*values[1:]) if values else set()
    return {seed: fmean(task[seed] for task in values) for seed in sorted(seeds)}


def paired_difference(ours: Mapping[int, float], baseline: Mapping[int, float]) -> Spread | None:
    """The spread of ``ours - baseline`` over the seeds that both have: what the seeds share cancels out.

    Args:
        ours: seed to value.
        baseline: seed to value.
    """
    return spread([value - baseline[seed] for seed, value in sorted(ours.items()) if seed in baseline])
