"""Logistic regression to its optimum: multinomial, or one against the rest for each of several labels.

The objective is scikit-learn's, which SSL-transfer's linear.py calls (arXiv 1805.08974, section A): the sum of the
log losses of all pictures plus l2 / 2 times the squared weights (C = 1 / l2), the intercept not penalised; the solver
is scipy's L-BFGS, the same.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from torch import Tensor

TOLERANCE = 1e-5
MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class LogisticRegression:
    """A fitted classifier.

    Attributes:
        weight: float64 (D, C).
        bias: float64 (C,).
        gradient: largest entry of the mean objective's gradient at the solution.
        iterations: of L-BFGS.
    """

    weight: Tensor
    bias: Tensor
    gradient: float
    iterations: int

    def logits(self, features: Tensor) -> Tensor:
        """Scores before softmax or sigmoid.

        Args:
            features: (N, D).

        Returns:
            float64 (N, C).
        """
        return features.double() @ self.weight + self.bias


def log_loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the log losses, and its gradient by the logits.

    Args:
        logits: (N, C).
        targets: int64 (N,): one label per picture (softmax), or bool (N, C): several labels (a sigmoid per class).

    Returns:
        Scalar, and (N, C).
    """
    if targets.ndim == 2:
        target = targets.to(logits.dtype)
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
        return loss, logits.sigmoid() - target
    residual = logits.softmax(1)
    residual[torch.arange(len(targets), device=targets.device), targets] -= 1
    return F.cross_entropy(logits, targets, reduction="sum"), residual


def fit(
    features: Tensor, targets: Tensor, l2: float, classes: int, start: LogisticRegression | None = None
) -> LogisticRegression:
    """Minimise sum of log losses + l2 / 2 * |W|^2.

    L-BFGS works on features that are centred and divided by one number, their deviation; weights, intercept and l2 are
    transformed with them, so that the optimum is that of the features as given.

    Args:
        features: (N, D).
        targets: see :func:`log_loss`.
        l2: strength of the penalty, > 0.
        classes: C.
        start: where to start; the optimum does not depend on it.

    Returns:
        The classifier; its ``gradient`` tells how near the optimum is.
    """
    x = features.double()
    count, width = x.shape
    centre = x.mean(0)
    x = x - centre
    scale = max(float(x.square().mean().sqrt()), 1e-12)
    x = x / scale
    penalty = l2 / scale**2  # of weights * scale

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = torch.from_numpy(flat).to(x.device).view(width + 1, classes)
        weight = parameters[:width]
        loss, residual = log_loss(x @ weight + parameters[width], targets)
        loss = loss + penalty / 2 * weight.square().sum()
        gradient = torch.cat((x.T @ residual + penalty * weight, residual.sum(0, keepdim=True)))
        return float(loss) / count, (gradient / count).cpu().numpy().ravel()

    begin = torch.zeros(width + 1, classes, dtype=torch.float64)
    if start is None:  # under a strong penalty only the bias counts, and from zero it would take many steps
        rate = targets.double().mean(0) if targets.ndim == 2 else targets.bincount(minlength=classes).double() / count
        rate = rate.clamp(1e-6, 1 - 1e-6)
        begin[width] = (rate.logit() if targets.ndim == 2 else rate.log()).cpu()
    else:
        begin = torch.cat((start.weight * scale, (start.bias + centre @ start.weight)[None])).cpu()
    options: dict[str, Any] = {"gtol": TOLERANCE, "ftol": 64 * np.finfo(float).eps, "maxiter": MAX_ITERATIONS}
    found = minimize(objective, begin.numpy().ravel(), jac=True, method="L-BFGS-B", options=options)
    parameters = torch.from_numpy(found.x).to(x.device).view(width + 1, classes)
    weight = parameters[:width] / scale
    return LogisticRegression(
        weight, parameters[width] - centre @ weight, float(np.abs(found.jac).max()), int(found.nit)
    )
