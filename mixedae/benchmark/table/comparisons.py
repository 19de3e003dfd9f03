"""Paired tests for a table: which runs can be paired, each test made once and remembered, Holm over all of them."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from mixedae.benchmark.plan.cards import Metric
from mixedae.benchmark.store.outcomes import Outcomes, read_outcomes
from mixedae.benchmark.store.results import OutcomesFile, Result
from mixedae.benchmark.table.paired import compare_images, content_key, holm
from mixedae.benchmark.table.stats import PairedTest
from mixedae.errors import ResultsError
from mixedae.files import read_json, write_json

MEMORY = "comparisons.json"  # in the suite's folder: key of what was compared, to the test
NO_OUTCOMES = "no outcomes of single images were stored"


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
