"""Means over classes under weights against the metric on the drawn pictures themselves."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.evaluation import SingleLabelMetric

from mixedae.benchmark.store.by_class import eleven_point_map, mean_per_class
from mixedae.engine.voc07_metric import eleven_point_ap


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), count=st.integers(6, 40), classes=st.integers(2, 5))
def test_mean_per_class_of_a_draw_is_mmpretrains_on_its_pictures(seed: int, count: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    label = np.arange(count) % classes
    predicted = np.where(rng.random(count) < 0.5, label, rng.integers(0, classes, count))
    draws = [np.arange(count), *(np.sort(rng.integers(0, count, count)) for _ in range(3))]
    weights = np.stack([np.bincount(draw, minlength=count) for draw in draws]).astype(float)
    arrays = {"correct": predicted == label, "label": label, "classes": np.array([classes])}
    found = mean_per_class(arrays, weights)
    for value, draw in zip(found, draws, strict=True):
        kept = np.unique(label[draw])
        recall = SingleLabelMetric.calculate(
            torch.from_numpy(predicted[draw]), torch.from_numpy(label[draw]), average=None, num_classes=classes
        )[1]
        np.testing.assert_allclose(value, recall[kept].mean(), rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), count=st.integers(4, 40), levels=st.integers(2, 50))
def test_map_of_a_draw_is_the_metrics_on_its_pictures(seed: int, count: int, levels: int) -> None:
    """Few levels make many equal scores; of equals the earlier picture ranks first."""
    rng = np.random.default_rng(seed)
    score = rng.integers(0, levels, (count, 3)) / levels
    positive = rng.random((count, 3)) < 0.4
    positive[0] = True
    draws = [np.arange(count), *(np.sort(rng.integers(0, count, count)) for _ in range(3))]
    weights = np.stack([np.bincount(draw, minlength=count) for draw in draws]).astype(float)
    found = eleven_point_map({"score": score, "positive": positive}, weights)
    for value, draw in zip(found, draws, strict=True):
        each = [
            100 * float(eleven_point_ap(torch.from_numpy(score[draw, c]), torch.from_numpy(positive[draw, c])))
            for c in range(3)
            if positive[draw, c].any()
        ]
        if each:
            np.testing.assert_allclose(value, np.mean(each), rtol=1e-9)
        else:
            assert np.isnan(value)


def test_a_class_that_no_test_image_has_counts_as_nothing() -> None:
    arrays = {"correct": np.array([True, True]), "label": np.array([0, 1]), "classes": np.array([4])}
    assert mean_per_class(arrays, np.ones((1, 2)))[0] == 50
