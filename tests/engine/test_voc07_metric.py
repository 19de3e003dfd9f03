"""VOC2007's 11-point average precision against the definition in loops, and mean per-class accuracy against NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.evaluation import SingleLabelMetric
from mmpretrain.registry import METRICS
from mmpretrain.structures import DataSample

import mixedae.registry  # noqa: F401
from mixedae.engine.voc07_metric import eleven_point_ap
from mixedae.errors import DataError


def by_definition(scores, positive):
    """For each recall t of 0, 0.1, ... 1: the highest precision over all cuts with recall >= t, else 0; their mean."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    cuts = []
    for n in range(1, len(order) + 1):
        hits = sum(positive[i] for i in order[:n])
        cuts.append((hits, hits / n))
    total = sum(positive)
    return sum(max((p for hits, p in cuts if 10 * hits >= t * total), default=0.0) for t in range(11)) / 11


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40).filter(
        lambda x: any(b for _, b in x)
    )
)
def test_average_precision_is_the_definition(items):
    scores, positive = [s / 5 for s, _ in items], [b for _, b in items]
    got = eleven_point_ap(torch.tensor(scores), torch.tensor(positive))
    assert got.item() == pytest.approx(by_definition(scores, positive), abs=1e-12)


def test_known_values():
    """Perfect ranking: 1. One positive ranked third of three: precision 1/3 at every recall."""
    assert eleven_point_ap(torch.tensor([0.9, 0.8, 0.1]), torch.tensor([True, True, False])).item() == 1
    assert eleven_point_ap(torch.tensor([0.9, 0.8, 0.1]), torch.tensor([False, False, True])).item() == pytest.approx(
        1 / 3
    )


def sample(score, labels, difficult=()):
    data = DataSample().set_gt_label(torch.tensor(labels, dtype=torch.int64)).set_pred_score(torch.tensor(score))
    data.set_field(list(difficult), "gt_label_difficult")
    return data.to_dict()


def test_difficult_objects_are_negatives():
    """A picture with only a difficult object of a class lowers its precision; mmpretrain's default would skip it."""
    metric = METRICS.build(dict(type="mixedae.VOC07Metric"))
    metric.process(None, [sample([0.9, 0.1], [1], difficult=[0]), sample([0.8, 0.9], [0]), sample([0.2, 0.3], [0, 1])])
    got = metric.evaluate(3)
    assert set(got) == {"voc07/mAP_11"}
    expected = [
        by_definition([0.9, 0.8, 0.2], [False, True, True]),
        by_definition([0.1, 0.9, 0.3], [True, False, True]),
    ]
    assert got["voc07/mAP_11"] == pytest.approx(100 * sum(expected) / 2)


def test_a_class_without_a_picture_is_named():
    metric = METRICS.build(dict(type="mixedae.VOC07Metric"))
    metric.process(None, [sample([0.9, 0.1], [0])])
    with pytest.raises(DataError, match="class 1"):
        metric.evaluate(1)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31 - 1), st.integers(2, 6))
def test_mean_per_class_accuracy_is_macro_recall(seed, classes):
    """The metric of Aircraft, Caltech101, Flowers and Pets: mmpretrain's macro recall, checked against NumPy."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, 40)])
    predicted = rng.integers(0, classes, len(labels))
    got = SingleLabelMetric.calculate(
        torch.tensor(predicted), torch.tensor(labels), num_classes=classes, average="macro"
    )[1]
    expected = 100 * np.mean([(predicted[labels == c] == c).mean() for c in range(classes)])
    assert got.item() == pytest.approx(expected, rel=1e-5)
