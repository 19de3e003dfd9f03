"""Each formula of DINO and iBOT against loops written from the papers, in float64."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixedae.ops.block_masks import draw_block_mask, draw_ratio
from mixedae.ops.self_distillation import (
    centred_softmax,
    cosine,
    cross_entropy,
    effective_rank,
    entropy,
    moved_centre,
    patch_loss,
    view_loss,
)

SIZES = dict(views=st.integers(2, 4), extra=st.integers(0, 3), batch=st.integers(1, 3), k=st.integers(2, 6))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distribution(logits: list[float], centre: list[float], temperature: float) -> list[float]:
    exps = [math.exp((x - c) / temperature) for x, c in zip(logits, centre, strict=True)]
    return [e / sum(exps) for e in exps]


def h(target: list[float], logits: list[float], temperature: float) -> float:
    guess = distribution(logits, [0.0] * len(logits), temperature)
    return -sum(t * math.log(g) for t, g in zip(target, guess, strict=True))


@settings(max_examples=25, deadline=None)
@given(**SIZES, seed=st.integers(0, 99))
def test_eq_3_of_dino_pair_by_pair(views: int, extra: int, batch: int, k: int, seed: int) -> None:
    logits, student = random(views, batch, k, seed=seed), random(views + extra, batch, k, seed=seed + 1)
    centre = random(k, seed=seed + 2)
    total, pairs = 0.0, 0
    for q in range(views):
        for v in range(views + extra):
            if v == q:
                continue
            pairs += 1
            for b in range(batch):
                target = distribution(logits[q, b].tolist(), centre.tolist(), 0.4)
                total += h(target, student[v, b].tolist(), 0.7) / batch
    found = view_loss(list(centred_softmax(logits, centre, 0.4)), list(student), 0.7)
    assert float(found) == pytest.approx(total / pairs, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 3), patches=st.integers(1, 5), k=st.integers(2, 5), seed=st.integers(0, 99))
def test_eq_2_of_ibot_patch_by_patch(batch: int, patches: int, k: int, seed: int) -> None:
    teacher, student = random(2, batch, patches, k, seed=seed), random(2, batch, patches, k, seed=seed + 1)
    masks = random(2, batch, patches, seed=seed + 2) > 0
    total = 0.0
    for v in range(2):
        for b in range(batch):
            hidden = [n for n in range(patches) if masks[v, b, n]]
            for n in hidden:
                target = distribution(teacher[v, b, n].tolist(), [0.0] * k, 0.5)
                total += h(target, student[v, b, n].tolist(), 0.2) / len(hidden) / batch / 2
    words = centred_softmax(teacher, torch.zeros(k, dtype=torch.float64), 0.5)
    assert float(patch_loss(list(words), list(student), list(masks), 0.2)) == pytest.approx(total, abs=1e-6)


def test_teacher_has_no_gradient_and_the_centre_is_a_running_mean() -> None:
    logits = random(3, 4).requires_grad_()
    assert not centred_softmax(logits, torch.zeros(4), 0.1).requires_grad
    centre = torch.zeros(4, dtype=torch.float64)
    rows = [random(4, seed=i) for i in range(6)]
    for row in rows:
        centre = moved_centre(centre, row, 0.9)
    closed = sum(0.1 * 0.9 ** (5 - i) * row for i, row in enumerate(rows))
    torch.testing.assert_close(centre, closed)
    same = cross_entropy(torch.tensor([0.5, 0.5]), torch.zeros(2), 1.0)
    assert float(same) == pytest.approx(math.log(2))


@pytest.mark.parametrize(("start", "end"), [(0.996, 1.0), (0.04, 0.4)])
def test_the_schedule_is_the_official_array(start: float, end: float) -> None:
    steps = 37
    iterations = np.arange(steps)
    official = end + 0.5 * (start - end) * (1 + np.cos(np.pi * iterations / len(iterations)))
    np.testing.assert_allclose([cosine(start, end, i, steps) for i in iterations], official, atol=1e-12)


def test_entropy_and_effective_rank_tell_a_collapse() -> None:
    assert float(entropy(torch.full((8,), 1 / 8))) == pytest.approx(math.log(8))
    assert float(entropy(torch.tensor([1.0, 0.0]))) == 0
    assert effective_rank(torch.eye(6)) == pytest.approx(6)
    assert effective_rank(torch.ones(5, 4)) == pytest.approx(1)
    assert effective_rank(torch.zeros(5, 4)) == 1
    values = torch.linalg.svdvals(random(7, 4)).tolist()
    shares = [value / sum(values) for value in values]
    assert effective_rank(random(7, 4)) == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)), rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(2, 14), columns=st.integers(2, 14), ratio=st.floats(0, 0.9), seed=st.integers(0, 999))
def test_a_mask_never_exceeds_its_ratio(rows: int, columns: int, ratio: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = draw_block_mask((rows, columns), ratio, generator)
    assert mask.shape == (rows, columns) and mask.sum() <= ratio * rows * columns + 1e-9
    again = draw_block_mask((rows, columns), ratio, torch.Generator().manual_seed(seed))
    assert torch.equal(mask, again)


def test_half_of_ibots_crops_are_whole_and_the_rest_between_a_tenth_and_a_half() -> None:
    generator = torch.Generator().manual_seed(0)
    ratios = [draw_ratio((0, 0.3), (0, 0.2), generator) for _ in range(4000)]
    masked = [ratio for ratio in ratios if ratio]
    assert len(masked) / len(ratios) == pytest.approx(0.5, abs=0.03)
    assert min(masked) >= 0.1 and max(masked) <= 0.5 and np.mean(masked) == pytest.approx(0.3, abs=0.01)
    shares = [float(draw_block_mask((14, 14), 0.4, generator).float().mean()) for _ in range(200)]
    assert np.mean(shares) > 0.33  # blocks come near the ratio
