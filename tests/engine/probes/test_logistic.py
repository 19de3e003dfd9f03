"""Logistic regression against Newton's method, scipy's own minimiser and the conditions of the optimum."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

from mixedae.engine.probes.logistic import TOLERANCE, fit


def problem(seed: int, count: int = 60, width: int = 4, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = 3 + 2 * torch.randn(count, width, generator=generator, dtype=torch.float64)  # neither centred nor unit
    labels = torch.randint(classes, (count,), generator=generator)
    labels[:classes] = torch.arange(classes)
    return features, labels


def multinomial(flat: np.ndarray, x: np.ndarray, y: np.ndarray, l2: float) -> float:
    """The objective as it is written in words: sum of log losses + l2 / 2 * |W|^2, the intercept not penalised."""
    weight, bias = flat.reshape(x.shape[1] + 1, -1)[:-1], flat.reshape(x.shape[1] + 1, -1)[-1]
    logits = x @ weight + bias
    return float((logsumexp(logits, axis=1) - logits[np.arange(len(y)), y]).sum() + l2 / 2 * (weight**2).sum())


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**20), st.sampled_from([1e-2, 1.0, 30.0]))
def test_the_multinomial_optimum_is_scipys(seed, l2):
    """Another solver, with gradients by finite differences, from another start, finds no better and the same answer."""
    x, y = problem(seed)
    found = fit(x, y, l2, classes=3)
    start = np.random.default_rng(seed).normal(size=15)
    other = minimize(multinomial, start, args=(x.numpy(), y.numpy(), l2), method="BFGS", options={"gtol": 1e-6})
    value = multinomial(torch.cat((found.weight, found.bias[None])).numpy().ravel(), x.numpy(), y.numpy(), l2)
    assert value <= other.fun + 1e-5
    theirs = x.numpy() @ other.x.reshape(5, 3)[:-1] + other.x.reshape(5, 3)[-1]
    difference = found.logits(x).softmax(1).numpy() - torch.from_numpy(theirs).softmax(1).numpy()
    assert np.abs(difference).max() < 2e-3
    assert found.gradient <= TOLERANCE


def test_one_against_the_rest_is_newtons_for_each_label():
    """Several labels a picture: every column is its own two-class problem, solved here by Newton's method."""
    x, _ = problem(0, count=80)
    targets = torch.rand(80, 3, generator=torch.Generator().manual_seed(1)) < torch.tensor([0.5, 0.2, 0.8])
    found = fit(x, targets, l2=2.0, classes=3)
    design = np.concatenate((x.numpy(), np.ones((80, 1))), axis=1)
    penalty = np.diag([2.0, 2.0, 2.0, 2.0, 0.0])
    for column in range(3):
        y, w = targets[:, column].numpy().astype(float), np.zeros(5)
        for _ in range(50):
            p = expit(design @ w)
            hessian = design.T @ (design * (p * (1 - p))[:, None]) + penalty
            w -= np.linalg.solve(hessian, design.T @ (p - y) + penalty @ w)
        np.testing.assert_allclose(found.weight[:, column].numpy(), w[:4], atol=2e-3)
        np.testing.assert_allclose(found.logits(x)[:, column].numpy(), design @ w, atol=5e-3)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**20), st.floats(0.01, 100))
def test_the_gradient_vanishes_at_the_optimum_whatever_the_start(seed, l2):
    x, y = problem(seed)
    first = fit(x, y, l2, classes=3)
    again = fit(x, y, l2, classes=3, start=fit(x, y, 1000 * l2, classes=3))
    weight = first.weight.clone().requires_grad_()
    bias = first.bias.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(x @ weight + bias, y, reduction="sum") + l2 / 2 * weight.square().sum()
    loss.backward()
    assert weight.grad.abs().max() / len(y) < 1e-3 and bias.grad.abs().max() / len(y) < 1e-3
    torch.testing.assert_close(first.logits(x).softmax(1), again.logits(x).softmax(1), atol=2e-3, rtol=0)


def test_a_strong_penalty_leaves_the_classes_shares():
    """l2 to infinity: no weights, and the unpenalised intercept gives each class its share (closed form)."""
    x, y = problem(3)
    found = fit(x, y, l2=1e9, classes=3)
    shares = torch.bincount(y, minlength=3).double() / len(y)
    torch.testing.assert_close(found.logits(x).softmax(1), shares.expand(len(y), 3), atol=1e-4, rtol=0)
    assert found.weight.abs().max() < 1e-6


def test_separable_classes_are_separated():
    x = torch.eye(3, dtype=torch.float64).repeat(10, 1)
    y = torch.arange(3).repeat(10)
    assert fit(x, y, l2=1e-3, classes=3).logits(x).argmax(1).equal(y)


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_units_are_carried_by_the_penalty(scale):
    """Features in other units with l2 in their square: the same classifier, not the same l2."""
    x, y = problem(5)
    one, other = fit(x, y, 1.0, classes=3), fit(scale * x, y, scale**2, classes=3)
    torch.testing.assert_close(one.logits(x).softmax(1), other.logits(scale * x).softmax(1), atol=1e-4, rtol=0)
