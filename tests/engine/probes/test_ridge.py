"""The closed form against refitting without each picture, and against the normal equations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixedae.engine.probes.ridge import PENALTIES, fit_ridge


def data(seed: int, count: int, width: int, classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    means = torch.randn(classes, width, generator=generator)
    return means[labels] + 2 * torch.randn(count, width, generator=generator), labels


def solved(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weights and intercept by the normal equations, the intercept a column of ones without a penalty."""
    columns = torch.cat((x, torch.ones(len(x), 1, dtype=x.dtype)), dim=1)
    damping = penalty * torch.eye(columns.shape[1], dtype=x.dtype)
    damping[-1, -1] = 0
    solution = torch.linalg.solve(columns.T @ columns + damping, columns.T @ y)
    return solution[:-1], solution[-1]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), count=st.integers(12, 24), width=st.integers(2, 30), classes=st.integers(2, 4))
def test_the_left_out_error_is_that_of_refitting(seed: int, count: int, width: int, classes: int) -> None:
    """The features' centre and deviation are those of all pictures, as in the closed form."""
    features, labels = data(seed, count, width, classes)
    y = torch.nn.functional.one_hot(labels, classes).double()
    errors = {}
    for penalty in (0.01, 1.0):
        found = fit_ridge(features, labels, classes, (penalty,))
        x = (features.double() - found.centre) / found.scale
        squared = []
        for i in range(count):
            kept = torch.arange(count) != i
            weight, bias = solved(x[kept], y[kept], penalty * count)
            squared.append((x[i] @ weight + bias - y[i]).square())
        errors[penalty] = float(torch.stack(squared).mean())
        assert found.error == pytest.approx(errors[penalty], rel=1e-6)
        weight, bias = solved(x, y, penalty * count)
        torch.testing.assert_close(found.scores(features), x @ weight + bias, rtol=1e-6, atol=1e-8)
    assert fit_ridge(features, labels, classes, (0.01, 1.0)).penalty == min(errors, key=errors.__getitem__)


def test_scale_and_place_of_a_feature_do_not_matter() -> None:
    features, labels = data(0, 40, 6, 3)
    moved = features * torch.tensor([1.0, 10, 0.1, 3, 7, 1]) + 5
    expected = fit_ridge(features, labels, 3).scores(features)
    torch.testing.assert_close(fit_ridge(moved, labels, 3).scores(moved), expected, rtol=1e-4, atol=1e-5)


def test_a_constant_feature_is_no_feature() -> None:
    features, labels = data(1, 40, 6, 3)
    more = torch.cat((features, torch.full((40, 1), 4.0)), dim=1)
    torch.testing.assert_close(fit_ridge(more, labels, 3).scores(more), fit_ridge(features, labels, 3).scores(features))


def test_classes_that_lie_apart_are_told_apart() -> None:
    features, labels = data(2, 60, 8, 3)
    features = features + 20 * torch.nn.functional.one_hot(labels, 8)
    found = fit_ridge(features, labels, 3)
    assert found.penalty in PENALTIES
    assert found.scores(features).argmax(1).equal(labels)
