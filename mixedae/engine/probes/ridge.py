"""A linear classifier in closed form: least squares on the classes, its penalty chosen by leaving one picture out.

References:
    Ridge regression's leave-one-out error in closed form: Allen's PRESS, Technometrics 16(1), 1974; Golub, Heath and
    Wahba, Technometrics 21(2), 1979.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

PENALTIES = tuple(10.0**power for power in range(-4, 5))
"""As shares of the number of pictures; features have deviation 1."""


@dataclass(frozen=True)
class Ridge:
    """A fitted classifier.

    Attributes:
        centre: float64 (D,), of the features.
        scale: float64 (D,), their deviations.
        weight: float64 (D, C).
        bias: float64 (C,).
        penalty: the chosen one, see :data:`PENALTIES`.
        error: mean squared error of the pictures that were left out.
    """

    centre: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    penalty: float
    error: float

    def scores(self, features: Tensor) -> Tensor:
        """Scores of the classes, float64 (N, C).

        Args:
            features: (N, D).
        """
        return (features.double() - self.centre) / self.scale @ self.weight + self.bias


def fit_ridge(features: Tensor, labels: Tensor, classes: int, penalties: tuple[float, ...] = PENALTIES) -> Ridge:
    """Minimise the squared error of one column for each class plus the penalty times the squared weights.

    The intercept is not penalised. One decomposition serves all penalties and all pictures that are left out.

    Args:
        features: (N, D).
        labels: int64 (N,).
        classes: C.
        penalties: candidates; each is multiplied by N.

    Returns:
        The classifier with the smallest error on pictures that were left out; of equals the strongest penalty.
    """
    x = features.double()
    count = len(x)
    centre, scale = x.mean(0), x.std(0, correction=0)
    scale = torch.where(scale > 1e-12, scale, torch.ones_like(scale))
    x = (x - centre) / scale
    target = torch.nn.functional.one_hot(labels, classes).double()
    bias = target.mean(0)
    left, values, right = torch.linalg.svd(x, full_matrices=False)
    parts = left.T @ (target - bias)
    best = None
    for penalty in sorted(penalties, reverse=True):
        shrink = values.square() / (values.square() + penalty * count)
        leverage = left.square() @ shrink + 1 / count
        residual = target - bias - left @ (shrink[:, None] * parts)
        error = float((residual / (1 - leverage).clamp(min=1e-12)[:, None]).square().mean())
        if best is None or error < best[0]:
            best = (error, penalty)
    assert best is not None
    error, penalty = best
    weight = right.T @ ((values / (values.square() + penalty * count))[:, None] * parts)
    return Ridge(centre, scale, weight, bias, penalty, error)
