"""Numbers over seeds: mean, standard deviation, and differences paired by seed."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from mixedae.benchmark.schema import Strict


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


def spread(values: Sequence[float]) -> Spread | None:
    """Mean and standard deviation; None of no values."""
    if not values:
        return None
    return Spread(mean=fmean(values), std=stdev(values) if len(values) > 1 else None, n=len(values))


def paired_difference(ours: Mapping[int, float], baseline: Mapping[int, float]) -> Spread | None:
    """The spread of ``ours - baseline`` over the seeds that both have: what the seeds share cancels out.

    Args:
        ours: seed to value.
        baseline: seed to value.
    """
    return spread([value - baseline[seed] for seed, value in sorted(ours.items()) if seed in baseline])
