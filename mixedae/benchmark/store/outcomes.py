"""outcomes.npz: what each test image contributed to a metric, and the metric again under any weights of the images.

A bootstrap over images is the metric under random weights (how often an image was drawn); with all weights one it is
the number that the library printed, which is checked for every run before its outcomes are used.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixedae.benchmark.store.by_class import eleven_point_map, mean_per_class
from mixedae.benchmark.store.results import OutcomesFile
from mixedae.datasets.fingerprint import content_hash
from mixedae.errors import ResultsError
from mixedae.records import OUTCOMES, OUTCOMES_HEADER, OUTCOMES_SCHEMA, OutcomeKind, OutcomesHeader, outcomes_array

RECALLS = np.linspace(0.0, 1.0, 101)  # pycocotools' recThrs

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Outcomes:
    """One metric's outcomes.

    Attributes:
        kind: what is stored per image.
        arrays: see :data:`~mixedae.records.OutcomeKind`.
    """

    kind: OutcomeKind
    arrays: Arrays

    @property
    def n(self) -> int:
        """Number of test images."""
        return len(self.arrays[READERS[self.kind].per_image])

    def value(self, weights: np.ndarray) -> np.ndarray:
        """The metric, in the library's unit, under weights of the images.

        Args:
            weights: (B, N), how often each image counts.

        Returns:
            (B,): accuracies, 11-point mAP and mIoU in percent, COCO AP in 0..1; NaN if the metric is undefined.
        """
        return READERS[self.kind].value(self, weights)

    @cached_property
    def categories(self) -> list["_Category"]:
        """Detections by category, in descending order of the score, as COCOeval.accumulate sorts them."""
        arrays, categories = self.arrays, []
        for category in np.unique(arrays["object_category"]):
            objects, mine = arrays["object_category"] == category, np.flatnonzero(arrays["category"] == category)
            mine = mine[np.argsort(-arrays["score"][mine], kind="mergesort")]
            shift = np.arange(len(arrays["thresholds"]))[:, None]
            matched, ignored = (arrays[name][mine] >> shift & 1 == 1 for name in ("matched", "ignored"))
            categories.append(
                _Category(
                    arrays["object_image"][objects],
                    arrays["object_count"][objects],
                    arrays["image"][mine],
                    matched & ~ignored,
                    ~ignored,
                )
            )
        return categories


@dataclass(frozen=True)
class _Category:
    """One category's objects and its detections in descending order of the score.

    Attributes:
        object_image, object_count: where its objects are.
        image: (D,) the detections' images.
        hits, counts: (T, D) whether a detection is a true positive, and whether it counts at all.
    """

    object_image: np.ndarray
    object_count: np.ndarray
    image: np.ndarray
    hits: np.ndarray
    counts: np.ndarray

    def average_precision(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """AP averaged over thresholds (0 if undefined), and whether it is defined; each (B,).

        Precision only matters where recall rises, at true positives: everything else is skipped.
        """
        objects = weights[:, self.object_image] @ self.object_count.astype(np.float64)
        defined, drawn = objects > 0, weights[:, self.image]
        total = np.zeros(len(weights))
        uniform = bool(self.counts.all())
        seen = np.cumsum(drawn, axis=1)
        for hits, counts in zip(self.hits, self.counts, strict=True):
            where = np.flatnonzero(hits)
            if not len(where):
                continue
            found = np.cumsum(drawn[:, where], axis=1)
            among = seen[:, where] if uniform else np.cumsum(drawn * counts, axis=1)[:, where]
            precision = found / ((among - found) + found + np.spacing(1))
            envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            recall = found / np.where(defined, objects, 1.0)[:, None]
            for row in np.flatnonzero(defined):
                at = np.searchsorted(recall[row], RECALLS, side="left")
                total[row] += envelope[row][at[at < len(where)]].sum()
        return total / (len(RECALLS) * len(self.hits)), defined.astype(np.float64)


def _top1_accuracy(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    return 100 * (weights @ outcomes.arrays["correct"]) / weights.sum(axis=1)


def _mean_iou(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    intersect, union = (weights @ outcomes.arrays[name].astype(np.float64) for name in ("intersect", "union"))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(union > 0, intersect / union, np.nan)
    return 100 * np.nanmean(ratio, axis=1)


def _mean_average_precision(outcomes: Outcomes, weights: np.ndarray) -> np.ndarray:
    sums, counts = np.zeros(len(weights)), np.zeros(len(weights))
    for category in outcomes.categories:
        found, defined = category.average_precision(weights)
        sums, counts = sums + found, counts + defined
    return np.divide(sums, counts, out=np.full(len(weights), np.nan), where=counts > 0)


@dataclass(frozen=True)
class Reader:
    """How outcomes of one kind become the metric again.

    Attributes:
        value: the metric from outcomes and (B, N) weights of the images.
        per_image: an array with one entry per test image.
        rounding: by how much the metric may differ from the number that the library printed.
    """

    value: Callable[[Outcomes, np.ndarray], np.ndarray]
    per_image: str
    rounding: float


READERS: dict[OutcomeKind, Reader] = {
    "correct": Reader(_top1_accuracy, "correct", 0.01),
    "recalls": Reader(lambda outcomes, weights: mean_per_class(outcomes.arrays, weights), "correct", 0.01),
    "ranking": Reader(lambda outcomes, weights: eleven_point_map(outcomes.arrays, weights), "score", 0.01),
    "areas": Reader(_mean_iou, "intersect", 0.006),
    "detections": Reader(_mean_average_precision, "images", 0.0006),
}
"""A new kind of outcomes needs an entry here, and what writes it in :mod:`mixedae.engine.hooks.outcomes`."""


def read_outcomes(path: Path) -> tuple[OutcomesHeader, dict[str, Outcomes]]:
    """Header and outcomes by metric of an outcomes.npz.

    Raises:
        ResultsError: the file is damaged or follows another schema.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            header: OutcomesHeader = json.loads(file[OUTCOMES_HEADER].tobytes())
            if header.get("schema") != OUTCOMES_SCHEMA:
                raise ResultsError(f"{path} follows schema {header.get('schema')}; this code reads {OUTCOMES_SCHEMA}")
            found = {}
            for key, kind in header["metrics"].items():
                start = outcomes_array(key, "")
                names = [name.removeprefix(start) for name in file.files if name.startswith(start)]
                found[key] = Outcomes(kind, {name: file[outcomes_array(key, name)] for name in names})
    except (OSError, ValueError, KeyError, EOFError, AttributeError) as error:
        raise ResultsError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    return header, found


def describe_outcomes(folder: Path, metrics: dict[str, Any]) -> OutcomesFile | None:
    """What a finished run left of its outcomes; None without the file.

    Args:
        folder: the cell's folder.
        metrics: what the run recorded, to which the outcomes must add up.

    Raises:
        ResultsError: the file is damaged, or its outcomes do not give the recorded metric.
    """
    path = folder / OUTCOMES
    if not path.is_file():
        return None
    header, found = read_outcomes(path)
    for key, outcomes in found.items():
        value = float(outcomes.value(np.ones((1, outcomes.n)))[0])
        if key in metrics and not abs(value - metrics[key]) <= READERS[outcomes.kind].rounding:
            raise ResultsError(
                f"{path}: the images' outcomes give `{key}` {value:.4f}; the run recorded {metrics[key]}"
            )
    return OutcomesFile(
        file=OUTCOMES, sha256=content_hash(path), items_sha256=header["items_sha256"], metrics=tuple(sorted(found))
    )
