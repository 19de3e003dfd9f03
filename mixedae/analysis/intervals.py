"""Means over images with bootstrap intervals, paired if the images are the same."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % confidence interval.

    Attributes:
        mean: over the images.
        low: 2.5 % quantile of the resampled means.
        high: 97.5 % quantile.
    """

    mean: float
    low: float
    high: float


def bootstrap(values: Numbers, resamples: int = 10_000, seed: int = 0) -> Interval:
    """Percentile bootstrap of the mean. The draws depend on the number of images and the seed alone: values of several
    methods on the same images are resampled together, so intervals of differences are paired.

    Args:
        values: (n,), one per image; for a paired comparison the differences.
        resamples: number of draws.
        seed: of the draws.

    Returns:
        The interval. For a single image, whose spread is unknown, it has no width.
    """
    draws = np.random.default_rng(seed)
    means = np.array([values[draws.integers(len(values), size=len(values))].mean() for _ in range(resamples)])
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high))


def clustered_error(values: Numbers) -> tuple[float, float]:
    """Mean and its standard error if the values of a row belong together (the images of one mixture).

    Args:
        values: (clusters, members).

    Returns:
        Mean over all; standard deviation of the clusters' means over the square root of their number (nan for one).
    """
    means = values.mean(axis=1)
    error = means.std(ddof=1) / len(means) ** 0.5 if len(means) > 1 else float("nan")
    return float(means.mean()), float(error)
