"""Paired tests: is one model better than another on the same test images? McNemar, paired bootstrap, Holm."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from mixedae.benchmark.plan.cards import Metric
from mixedae.benchmark.store.outcomes import Outcomes, read_outcomes
from mixedae.benchmark.store.results import OutcomesFile, Result
from mixedae.benchmark.table.stats import PairedTest
from mixedae.errors import ResultsError
from mixedae.files import read_json, write_json

REPLICATES = 2000
LEVEL = 0.95
CHUNK = 100  # replicates at a time: 40 MB of weights for ImageNet's 50,000 images
MEMORY = "comparisons.json"  # in the suite's folder: key of what was compared, to the test
NO_OUTCOMES = "no outcomes of single images were stored"
VERSION = 1  # raised when the procedure changes, so that remembered tests are made again


def mcnemar(ours: np.ndarray, baseline: np.ndarray) -> float:
    """Two-sided p of McNemar's exact test: are images that only one model gets right split evenly?

    Args:
        ours, baseline: (N,) bool, correct or not, on the same images.
    """
    only_ours, only_baseline = int((ours & ~baseline).sum()), int((~ours & baseline).sum())
    if only_ours + only_baseline == 0:
        return 1.0
    return float(binomtest(only_ours, only_ours + only_baseline, 0.5).pvalue)


def resamples(images: int, replicates: int = REPLICATES, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each image is drawn in each replicate of a bootstrap: chunks (b, N); the same for every call."""
    generator = np.random.default_rng(seed)
    for start in range(0, replicates, CHUNK):
        size = min(CHUNK, replicates - start)
        draws = generator.integers(0, images, size=(size, images))
        yield np.stack([np.bincount(row, minlength=images) for row in draws]).astype(np.float64)


def compare_images(
    ours: Mapping[int, Outcomes], baseline: Mapping[int, Outcomes], scale: float = 1.0, replicates: int = REPLICATES
) -> PairedTest:
    """Test the mean difference over seeds for a difference from zero, over the sampling of test images.

    Args:
        ours, baseline: the same seeds to outcomes on the same images.
        scale: from the library's unit to the table's.
        replicates: of the bootstrap.
    """
    seeds = sorted(ours)
    images = ours[seeds[0]].n
    differences = []
    for weights in resamples(images, replicates):
        pairs = [ours[seed].value(weights) - baseline[seed].value(weights) for seed in seeds]
        differences.append(scale * np.mean(pairs, axis=0))
    found = np.concatenate(differences)
    found = found[np.isfinite(found)]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    tail = min(int((found <= 0).sum()), int((found >= 0).sum()))
    p, method, exact = min(1.0, 2 * (tail + 1) / (len(found) + 1)), "paired bootstrap", {}
    if ours[seeds[0]].kind == "correct":
        exact = {seed: mcnemar(ours[seed].arrays["correct"], baseline[seed].arrays["correct"]) for seed in seeds}
        if len(seeds) == 1:
            p, method = exact[seeds[0]], "McNemar"
    return PairedTest(
        low=round(float(low), 6),
        high=round(float(high), 6),
        p=p,
        method=method,
        mcnemar=exact,
        images=images,
        seeds=len(seeds),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment of m comparisons: the smallest p times m, the next times m - 1, ...; never less than before."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def content_key(ours: Mapping[int, str], baseline: Mapping[int, str], metric: str, scale: float) -> str:
    """What a remembered test was made of: hash over the outcomes' hashes, the metric and the procedure."""
    parts = [VERSION, REPLICATES, LEVEL, metric, scale, sorted(ours.items()), sorted(baseline.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class PairedTests:
    """Paired tests between the runs of a suite.

    Args:
        folder: the suite's folder, where tests are remembered.
    """

    def __init__(self, folder: Path) -> None:
        self._memory = folder / MEMORY
        self._tests = read_json(self._memory, default={})
        self._outcomes: dict[str, dict[str, Outcomes]] = {}

    def test(
        self, ours: Mapping[int, tuple[Path, Result]], baseline: Mapping[int, tuple[Path, Result]], metric: Metric
    ) -> tuple[PairedTest | None, str]:
        """Test the difference of one metric.

        Args:
            ours, baseline: seed to the cell's folder and result.
            metric: what is compared.

        Returns:
            The test, or None and why there is none; with a test, the text says which seeds it leaves out.
        """
        pairs: dict[int, tuple[tuple[Path, OutcomesFile], tuple[Path, OutcomesFile]]] = {}
        reasons: dict[int, str] = {}
        for seed in sorted(ours.keys() & baseline.keys()):
            (our_folder, our_result), (base_folder, base_result) = ours[seed], baseline[seed]
            mine, other = our_result.outcomes, base_result.outcomes
            if mine is None or other is None or not {metric.key} <= set(mine.metrics) & set(other.metrics):
                reasons[seed] = NO_OUTCOMES
            elif mine.items_sha256 is None or mine.items_sha256 != other.items_sha256:
                reasons[seed] = "the two were not tested on the same images"
            else:
                pairs[seed] = ((our_folder, mine), (base_folder, other))
        reason = "; ".join(f"seed {seed}: {why}" for seed, why in reasons.items())
        if not pairs:
            return None, next(iter(reasons.values()), "")
        key = content_key(
            {seed: mine.sha256 for seed, ((_, mine), _) in pairs.items()},
            {seed: other.sha256 for seed, (_, (_, other)) in pairs.items()},
            metric.key,
            metric.scale,
        )
        if key not in self._tests:
            try:
                left = {seed: self._read(*mine)[metric.key] for seed, (mine, _) in pairs.items()}
                right = {seed: self._read(*other)[metric.key] for seed, (_, other) in pairs.items()}
            except ResultsError as error:
                return None, str(error)
            self._tests[key] = compare_images(left, right, metric.scale).model_dump()
            with contextlib.suppress(OSError):  # a folder that may only be read
                write_json(self._memory, self._tests)
        return PairedTest.model_validate(self._tests[key]), reason

    def _read(self, folder: Path, file: OutcomesFile) -> dict[str, Outcomes]:
        if file.sha256 not in self._outcomes:
            _, self._outcomes[file.sha256] = read_outcomes(folder / file.file)
        return self._outcomes[file.sha256]


def adjust(tests: list[PairedTest]) -> list[PairedTest]:
    """The same tests with Holm's adjusted p: all comparisons of a table are one family."""
    adjusted = holm([test.p for test in tests])
    return [test.model_copy(update={"p_holm": p}) for test, p in zip(tests, adjusted, strict=True)]
