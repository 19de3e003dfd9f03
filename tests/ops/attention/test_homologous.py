"""Eq. (6) against loops; ties, gradients, the pool of keys and the oracle mask."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedae.errors import ConfigError
from mixedae.ops import (
    homologous_attention,
    homologous_attention_reference,
    recognition_accuracy,
    sample_sources,
    topk_mask,
)

relaxed = settings(deadline=None, max_examples=30)
cases = st.fixed_dictionaries(
    {
        "b": st.integers(1, 2),
        "h": st.integers(1, 3),
        "n": st.integers(2, 12),
        "d": st.sampled_from([4, 8]),
        "k": st.integers(1, 14),
        "prefix": st.integers(0, 1),
        "seed": st.integers(0, 2**31 - 1),
    }
)


def draw(case, dtype=torch.float64, requires_grad=False):
    generator = torch.Generator().manual_seed(case["seed"])
    size = (3, case["b"], case["h"], case["n"], case["d"])
    qkv = torch.randn(size, generator=generator, dtype=torch.float64).to(dtype)
    return [x.clone().requires_grad_(requires_grad) for x in qkv]


def loops(q, k, v, topk, num_prefix=0):
    """softmax(TopK(q k^T / sqrt(D))) v, one query at a time."""
    rows = []
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            for n in range(q.shape[2]):
                scores = [
                    (q[b, h, n] * k[b, h, m]).sum() / math.sqrt(q.shape[-1]) for m in range(num_prefix, q.shape[2])
                ]
                order = sorted(range(len(scores)), key=lambda m: float(scores[m]), reverse=True)[:topk]
                weights = torch.stack([scores[m] for m in order]).softmax(0)
                rows.append(sum(w * v[b, h, m + num_prefix] for w, m in zip(weights, order, strict=True)))
    return torch.stack(rows).view(q.shape)


@relaxed
@given(cases)
@pytest.mark.parametrize("attention", [homologous_attention, homologous_attention_reference])
def test_values_and_gradients_match_loops(attention, case):
    if case["n"] <= case["prefix"]:
        return
    ours, theirs = draw(case, requires_grad=True), draw(case, requires_grad=True)
    got = attention(*ours, case["k"], num_prefix=case["prefix"])
    expected = loops(*theirs, case["k"], case["prefix"])
    torch.testing.assert_close(got, expected, atol=1e-9, rtol=1e-9)
    weight = torch.randn_like(expected)
    (got * weight).sum().backward()
    (expected * weight).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-8, rtol=1e-8)


@relaxed
@given(cases)
def test_exactly_k_keys_also_under_ties(case):
    q, k, _ = draw(case)
    q = torch.zeros_like(q) if case["seed"] % 2 else q.round()  # all scores equal, or many of them
    mask = topk_mask(q, k.round(), case["k"], num_prefix=case["prefix"])
    pool = case["n"] - case["prefix"]
    assert mask.sum(-1).eq(min(case["k"], pool)).all()
    assert not mask[..., : case["prefix"]].any()
    scores = q @ k.round().transpose(-2, -1)
    worst_kept = scores.masked_fill(~mask, math.inf).amin(-1)
    best_left = scores[..., case["prefix"] :].masked_fill(mask[..., case["prefix"] :], -math.inf).amax(-1)
    assert (worst_kept >= best_left).all()


@relaxed
@given(cases)
def test_k_of_all_keys_is_plain_attention(case):
    q, k, v = draw(case, torch.float32)
    plain = F.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(homologous_attention(q, k, v, case["n"]), plain)
    torch.testing.assert_close(homologous_attention(q, k, v, None), plain)


def test_unselected_pairs_get_no_gradient():
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 1, 9, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    mask = topk_mask(q, k, 3)
    for query in range(9):
        grads = torch.autograd.grad(homologous_attention(q, k, v, 3)[0, 0, query].sum(), (k, v))
        for grad in grads:
            touched = grad[0, 0].abs().sum(-1) > 0
            assert torch.equal(touched | mask[0, 0, query], mask[0, 0, query])
            assert touched.sum() == 3


def test_permuting_tokens_permutes_the_output():
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 10, 8, dtype=torch.float64) for _ in range(3))
    order = torch.randperm(10)
    out = homologous_attention(q, k, v, 4)
    torch.testing.assert_close(
        homologous_attention(q[:, :, order], k[:, :, order], v[:, :, order], 4), out[:, :, order]
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_selects_with_fp32_scores(dtype):
    """bf16 scores would keep other keys for some queries; the selection must be that of the same inputs in fp32."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(4, 2, 60, 32).to(dtype) for _ in range(3))
    assert torch.equal(topk_mask(q, k, 15), topk_mask(q.float(), k.float(), 15))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = topk_mask(q.float(), k.float(), 15)
        plain = [x.float().requires_grad_() for x in (q, k, v)]
        attended = homologous_attention(*plain, 15)
        grads = torch.autograd.grad(attended.square().sum(), plain)
    assert torch.equal(inside, topk_mask(q.float(), k.float(), 15))
    outside = homologous_attention(*plain, 15)
    torch.testing.assert_close(attended, outside)
    torch.testing.assert_close(grads, torch.autograd.grad(outside.square().sum(), plain))
    out = homologous_attention(q, k, v, 15)
    assert out.dtype == dtype
    torch.testing.assert_close(
        out.float(), homologous_attention_reference(q.float(), k.float(), v.float(), 15), atol=2e-2, rtol=2e-2
    )


def test_allowed_is_a_pool_of_its_own():
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, 8, 4, dtype=torch.float64) for _ in range(3))
    allowed = torch.rand(1, 1, 8, 8) < 0.5
    allowed |= torch.eye(8, dtype=torch.bool)
    mask = topk_mask(q, k, 3, allowed=allowed)
    assert not (mask & ~allowed).any()
    assert mask.sum(-1).eq(allowed.sum(-1).clamp(max=3).expand(1, 2, 8)).all()
    oracle = homologous_attention(q, k, v, None, allowed=allowed)
    scores = (q @ k.transpose(-2, -1) / 2).masked_fill(~allowed, -math.inf)
    torch.testing.assert_close(oracle, scores.softmax(-1) @ v)


def test_recognition_accuracy_counts_pairs():
    sources = sample_sources(3, 12, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.rand(3, 2, 13, 13) < 0.4  # one prefix token
    mask[:, :, 1, 2] = True
    for head in range(2):
        hits = total = 0
        for b in range(3):
            for i in range(12):
                for j in range(12):
                    if i != j and mask[b, head, 1 + i, 1 + j]:
                        total += 1
                        hits += int(sources[b, i] == sources[b, j])
        assert recognition_accuracy(mask, sources)[head].item() == pytest.approx(hits / total)


def test_chance_and_perfect_recognition():
    sources = sample_sources(64, 196, 4, generator=torch.Generator().manual_seed(0))
    everything = torch.ones(64, 1, 197, 197, dtype=torch.bool)
    assert recognition_accuracy(everything, sources).item() == pytest.approx(48 / 195)  # (rL - 1) / (L - 1)
    perfect = F.pad((sources[:, :, None] == sources[:, None])[:, None], (1, 0, 1, 0))
    assert recognition_accuracy(perfect, sources).item() == 1


def test_a_topk_of_nothing_is_named():
    with pytest.raises(ConfigError, match="topk=0"):
        topk_mask(torch.zeros(1, 1, 3, 2), torch.zeros(1, 1, 3, 2), 0)
