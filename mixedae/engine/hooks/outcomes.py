"""What each test image contributed to a metric, for paired statistics: taken from the evaluators' own results.

Two models that are tested on the same images can be compared image by image, which removes what the images share. The
values come from what mmpretrain's, mmseg's and mmdet's metrics computed, after the processes' results were gathered and
padding was dropped; nothing is measured a second time.
"""

import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mixedae.files import replacing
from mixedae.records import OUTCOMES, OUTCOMES_HEADER, OUTCOMES_SCHEMA, OutcomeKind, OutcomesHeader, outcomes_array
from mixedae.registry import HOOKS

MAX_DETECTIONS = 100
"""Detections per image and category that COCO's AP counts."""

Arrays = dict[str, np.ndarray]
Found = dict[str, tuple[OutcomeKind, Arrays]]
"""Key of a metric to the kind of its outcomes and their arrays, see :data:`mixedae.records.OutcomeKind`."""


@HOOKS.register_module()
class OutcomesHook(Hook):
    """Writes ``<work_dir>/outcomes.npz`` after each validation; the last one stays.

    :mod:`mixedae.records` describes the file. Which metrics are listened to, and what is taken from each, stands in
    :data:`TAPS`: mmpretrain's Accuracy gives ``correct``, its macro recall ``recalls``, VOC's mAP ``ranking``, mmseg's
    IoUMetric ``areas``, mmdet's CocoMetric ``detections``.
    """

    def __init__(self) -> None:
        self._found: Found = {}
        self._tapped: set[int] = set()

    def before_val(self, runner: Runner) -> None:
        """Listen to the evaluator's metrics.

        Args:
            runner: the runner.
        """
        self._found = {}
        for metric in runner.val_loop.evaluator.metrics:
            tap = next((TAPS[base.__name__] for base in type(metric).__mro__ if base.__name__ in TAPS), None)
            if tap is not None and id(metric) not in self._tapped:
                metric.compute_metrics = functools.partial(self._compute, metric, tap, metric.compute_metrics)
                self._tapped.add(id(metric))

    def _compute(self, metric: BaseMetric, tap: "Tap", compute: Callable, results: list) -> dict[str, float]:
        with tap(results) as found:
            metrics = compute(results)
        prefix = f"{metric.prefix}/" if metric.prefix else ""
        self._found.update({prefix + key: outcome for key, outcome in found.items()})
        return metrics

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write what the metrics used.

        Args:
            runner: the runner.
            metrics: of this validation.
        """
        if self._found and is_main_process():
            items = items_sha256(runner.val_dataloader.dataset)
            write_outcomes(Path(runner.work_dir) / OUTCOMES, self._found, items)


def items_sha256(dataset: Any) -> str | None:
    """sha256 of the names of a dataset's images in order, relative to its root; None if it does not name them."""
    if not hasattr(dataset, "get_data_info"):
        return None
    digest, root = hashlib.sha256(), str(getattr(dataset, "data_root", "") or ".")
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        digest.update(os.path.relpath(str(info.get("img_path", index)), root).encode() + b"\n")
    return digest.hexdigest()


def write_outcomes(path: Path, found: Found, items: str | None) -> None:
    """Write outcomes.npz in one step.

    Args:
        path: the file; its folder must exist.
        found: metric key to the kind of its outcomes and their arrays.
        items: identity of the test images.
    """
    header: OutcomesHeader = {
        "schema": OUTCOMES_SCHEMA,
        "items_sha256": items,
        "metrics": {key: kind for key, (kind, _) in found.items()},
    }
    arrays = {outcomes_array(key, name): array for key, (_, parts) in found.items() for name, array in parts.items()}
    arrays[OUTCOMES_HEADER] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


@contextmanager
def _accuracy(results: list) -> Iterator[Found]:
    """Whether the highest score is the label's, by ``topk`` as in mmpretrain's Accuracy."""
    label = torch.cat([result["gt_label"] for result in results])
    if "pred_score" in results[0]:
        predicted = torch.stack([result["pred_score"] for result in results]).float().topk(1, dim=1).indices[:, 0]
    else:
        predicted = torch.cat([result["pred_label"] for result in results])
    yield {"top1": ("correct", {"correct": (predicted == label).numpy(), "label": label.numpy().astype(np.int32)})}


@contextmanager
def _recall(results: list) -> Iterator[Found]:
    """As :func:`_accuracy`, for mmpretrain's macro recall, which takes a score of zero or less for no prediction."""
    if "pred_score" not in results[0]:
        yield {}
        return
    label = torch.cat([result["gt_label"] for result in results])
    score, predicted = torch.stack([result["pred_score"] for result in results]).float().max(dim=1)
    arrays = {
        "correct": ((predicted == label) & (score > 0)).numpy(),
        "label": label.numpy().astype(np.int32),
        "classes": np.array([len(results[0]["pred_score"])], dtype=np.int32),
    }
    yield {"recall": ("recalls", arrays)}


@contextmanager
def _voc07(results: list) -> Iterator[Found]:
    """The scores and labels that :class:`mixedae.VOC07Metric` keeps."""
    score, positive = (torch.stack([result[i] for result in results]).numpy() for i in (0, 1))
    yield {"mAP_11": ("ranking", {"score": score, "positive": positive})}


@contextmanager
def _iou(results: list) -> Iterator[Found]:
    """The first two of the areas that mmseg's IoUMetric keeps for each image."""
    intersect, union = (torch.stack([result[i] for result in results]).numpy().astype(np.int32) for i in (0, 1))
    yield {"mIoU": ("areas", {"intersect": intersect, "union": union})}


@contextmanager
def _coco(results: list) -> Iterator[Found]:
    """The matches that pycocotools finds between ``evaluate`` and ``accumulate``."""
    from mmdet.evaluation.metrics import coco_metric

    original = coco_metric.COCOeval
    found: Found = {}

    class Listening(original):  # type: ignore[misc, valid-type]
        def accumulate(self, p: Any = None) -> None:
            found[f"{self.params.iouType}_mAP"] = ("detections", matches(self))
            super().accumulate(p)

    coco_metric.COCOeval = Listening
    try:
        yield found
    finally:
        coco_metric.COCOeval = original


def matches(evaluation: Any) -> Arrays:
    """What AP over all areas needs of a ``COCOeval`` after ``evaluate()``; see :data:`mixedae.records.OutcomeKind`."""
    params = evaluation.params
    objects: list[tuple[int, int, int]] = []
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("category", "image", "score", "matched", "ignored")}
    bits = 1 << np.arange(len(params.iouThrs), dtype=np.int64)[:, None]
    per_category = len(params.areaRng) * len(params.imgIds)
    for category in range(len(params.catIds)):
        start = category * per_category  # the first area range is "all"
        for image, found in enumerate(evaluation.evalImgs[start : start + len(params.imgIds)]):
            if found is None:
                continue
            if count := int(np.count_nonzero(np.asarray(found["gtIgnore"]) == 0)):
                objects.append((category, image, count))
            score = np.asarray(found["dtScores"][:MAX_DETECTIONS], dtype=np.float64)
            parts["category"].append(np.full(len(score), category, dtype=np.int32))
            parts["image"].append(np.full(len(score), image, dtype=np.int32))
            parts["score"].append(score)
            for name, matrix in (("matched", found["dtMatches"] != 0), ("ignored", found["dtIgnore"] != 0)):
                parts[name].append((matrix[:, : len(score)] * bits).sum(axis=0).astype(np.int32))
    columns = np.array(objects, dtype=np.int32).reshape(-1, 3).T
    return {
        "images": np.asarray(params.imgIds, dtype=np.int64),
        "thresholds": np.asarray(params.iouThrs, dtype=np.float64),
        **{f"object_{name}": column for name, column in zip(("category", "image", "count"), columns, strict=True)},
        **{name: np.concatenate(arrays) if arrays else np.zeros(0, np.int32) for name, arrays in parts.items()},
    }


Tap = Callable[[list], AbstractContextManager[Found]]
TAPS: dict[str, Tap] = {
    "Accuracy": _accuracy,
    "SingleLabelMetric": _recall,
    "VOC07Metric": _voc07,
    "IoUMetric": _iou,
    "CocoMetric": _coco,
}
"""Class of a metric to what listens to it. A new metric with paired tests needs an entry here, and its value in
:mod:`mixedae.benchmark.store.outcomes`."""
