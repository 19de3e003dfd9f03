"""Metrics that are means over classes, again under any weights of the images: mean per class, 11-point mAP."""

import numpy as np

Arrays = dict[str, np.ndarray]


def mean_per_class(arrays: Arrays, weights: np.ndarray) -> np.ndarray:
    """Mean over the classes of the share of their images that are right, as mmpretrain's macro recall.

    A class without an image in the test set counts as 0, as there. One that only a draw has left out is left out.

    Args:
        arrays: ``correct``, ``label`` and ``classes`` of outcomes.
        weights: (B, N), how often each image counts.

    Returns:
        (B,), in per cent.
    """
    correct, label, classes = arrays["correct"], arrays["label"], int(arrays["classes"][0])
    member = label[:, None] == np.arange(classes)
    total = weights @ member.astype(np.float64)
    right = weights @ (member & correct[:, None]).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = np.where(total > 0, right / total, np.nan)
    recall[:, ~member.any(axis=0)] = 0.0
    return 100 * np.nanmean(recall, axis=1)


def eleven_point_map(arrays: Arrays, weights: np.ndarray) -> np.ndarray:
    """VOC 2007's 11-point mean average precision; see :func:`mixedae.engine.voc07_metric.eleven_point_ap`.

    A class that a draw has left without a positive image is left out of its mean.

    Args:
        arrays: ``score`` and ``positive`` of outcomes.
        weights: (B, N), how often each image counts.

    Returns:
        (B,), in per cent.
    """
    score, positive = arrays["score"], arrays["positive"]
    values = [_average_precision(score[:, c], positive[:, c], weights) for c in range(score.shape[1])]
    return 100 * np.nanmean(np.stack(values), axis=0)


def _average_precision(score: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AP of one class (B,); NaN without a positive image. Copies of an image stand behind each other."""
    order = np.argsort(-score, kind="stable")
    drawn = weights[:, order]
    hits = np.cumsum(drawn * positive[order], axis=1)
    seen = np.cumsum(drawn, axis=1)
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    best_from = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    found = np.full(len(weights), np.nan)
    for row in np.flatnonzero(hits[:, -1] > 0):
        first = np.searchsorted(10 * hits[row], np.arange(11) * hits[row, -1], side="left")
        found[row] = best_from[row, first].mean()
    return found
