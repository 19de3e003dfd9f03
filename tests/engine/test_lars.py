"""LARS against a loop over its formula, under a schedule."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mixedae.engine.lars import LARS


def by_hand(start: list[torch.Tensor], grads: list[list[torch.Tensor]], rates: list[float], m: float, w: float) -> list:
    """One tensor at a time, element by element in plain Python."""
    ends = []
    for i, tensor in enumerate(start):
        p, b = tensor.flatten().tolist(), [0.0] * tensor.numel()
        for rate, step in zip(rates, grads, strict=True):
            u = step[i].flatten().tolist()
            if tensor.ndim > 1:
                u = [g + w * x for g, x in zip(u, p, strict=True)]
                ours, its = sum(x * x for x in p) ** 0.5, sum(x * x for x in u) ** 0.5
                q = 0.001 * ours / its if ours > 0 and its > 0 else 1.0
                u = [q * x for x in u]
            b = [m * x + y for x, y in zip(b, u, strict=True)]
            p = [x - rate * y for x, y in zip(p, b, strict=True)]
        ends.append(torch.tensor(p, dtype=torch.float64).view_as(tensor))
    return ends


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(0, 7), min_size=1, max_size=6),
    st.sampled_from([0.0, 0.5, 0.9]),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from(["drawn", "zero weights", "zero gradients"]),
    st.integers(0, 99),
)
def test_equals_the_formula_under_a_schedule(rates: list[float], m: float, w: float, case: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    start = [draw(4, 3) * (case != "zero weights"), draw(4)]
    grads = [[draw(4, 3) * (case != "zero gradients"), draw(4)] for _ in rates]
    params = [nn.Parameter(tensor.clone()) for tensor in start]
    optimizer = LARS(params, lr=1.0, momentum=m, weight_decay=w)
    for rate, step in zip(rates, grads, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        for p, grad in zip(params, step, strict=True):
            p.grad = grad.clone()
        optimizer.step()
    for p, expected in zip(params, by_hand(start, grads, rates, m, w), strict=True):
        torch.testing.assert_close(p.detach(), expected, rtol=1e-9, atol=1e-12)


def test_mmpretrains_differs_under_a_schedule_and_only_there() -> None:
    from mmpretrain.engine.optimizers import LARS as Theirs

    def end(kind: type, rates: list[float], **options: float) -> torch.Tensor:
        p = nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, -1.0]]))
        optimizer = kind([p], lr=1.0, momentum=0.9, **options)
        for rate in rates:
            optimizer.param_groups[0]["lr"] = rate
            p.grad = p.detach() * 2 + 1
            optimizer.step()
        return p.detach()

    options = dict(eta=0.001, weight_decay=0.0)
    torch.testing.assert_close(end(LARS, [5.0] * 4), end(Theirs, [5.0] * 4, **options))
    assert end(LARS, [1.0, 2, 3, 4]).sub(end(Theirs, [1.0, 2, 3, 4], **options)).norm() > 1e-3


def test_its_state_is_resumed() -> None:
    p = nn.Parameter(torch.ones(2, 2))
    first, second = LARS([p], lr=1.0), LARS([p], lr=1.0)
    p.grad = torch.full((2, 2), 0.5)
    first.step()
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.state[p]["momentum_buffer"], first.state[p]["momentum_buffer"])
    assert second.state[p]["momentum_buffer"][0, 0].item() == pytest.approx(0.001)
