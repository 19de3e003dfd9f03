"""The CPU's operator: exactly K keys, values and gradients of the definition, what torch.compile needs of it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from mixedae.ops import homologous_attention, homologous_attention_reference
from mixedae.ops.homologous_attention_cpu import CHUNK, keep_topk_, topk_attention_cpu


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 5),
    n=st.integers(2, 20),
    topk=st.integers(1, 19),
    levels=st.integers(1, 30),
    seed=st.integers(0, 2**31 - 1),
)
def test_keeps_exactly_k_of_the_largest(rows, n, topk, levels, seed):
    topk = min(topk, n - 1)
    scores = torch.randint(levels, (rows, n), generator=torch.Generator().manual_seed(seed)).float()  # many ties
    before = scores.clone()
    keep_topk_(scores, topk)
    kept = scores > -torch.inf
    assert kept.sum(-1).eq(topk).all()
    assert torch.equal(scores[kept], before[kept])
    worst, best_left = before.masked_fill(~kept, torch.inf).amin(-1), before.masked_fill(kept, -torch.inf).amax(-1)
    assert (worst >= best_left).all()


def test_samples_in_several_chunks_give_what_one_chunk_gives():
    torch.manual_seed(0)
    heads, tokens = 8, 197
    assert heads * tokens**2 * 3 > CHUNK
    q, k, v = (torch.randn(3, heads, tokens, 8, requires_grad=True) for _ in range(3))
    out = homologous_attention(q, k, v, 49, num_prefix=1)
    out.backward(weight := torch.randn_like(out))
    expected = homologous_attention_reference(*(x.double() for x in (q, k, v)), 49, num_prefix=1)
    torch.testing.assert_close(out.double(), expected, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(
        (q.grad, k.grad, v.grad), torch.autograd.grad(expected, (q, k, v), weight.double()), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_second_order_derivatives_are_refused_not_wrong():
    q, k, v = (torch.randn(1, 1, 6, 4, requires_grad=True) for _ in range(3))
    (gradient,) = torch.autograd.grad(homologous_attention(q, k, v, 2).sum(), q, create_graph=True)
    with pytest.raises(RuntimeError):
        gradient.sum().backward()


def test_a_nan_is_not_swallowed():
    q, k, v = torch.randn(3, 1, 1, 9, 4).unbind(0)
    q[0, 0, 3, 1] = torch.nan
    assert homologous_attention(q, k, v, 2)[0, 0].isnan().any(-1).tolist() == [i == 3 for i in range(9)]


def test_the_operator_is_registered_fully():
    q, k, v = (torch.randn(2, 2, 7, 4, requires_grad=True) for _ in range(3))
    torch.library.opcheck(topk_attention_cpu, (q, k, v, 3, 0.5, 1))


def test_heads_lie_side_by_side():
    q, k, v = torch.randn(3, 2, 2, 7, 4).unbind(0)
    assert homologous_attention(q, k, v, 3).transpose(1, 2).is_contiguous()


def test_floating_point_operations_are_counted():
    q, k, v = (torch.randn(2, 3, 7, 4, requires_grad=True) for _ in range(3))
    with FlopCounterMode(display=False) as counter:
        homologous_attention(q, k, v, 3).sum().backward()
    product = 2 * 2 * 3 * 7 * 7 * 4
    assert counter.get_total_flops() == 6 * product  # two forward, four backward: the weights are kept
