"""The CPU's operator: exactly K keys, values and gradients of the definition, what torch.compile needs of it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from mixedae.ops import homologous_attention, homologous_attention_reference
from mixedae.ops.attention.cpu import CHUNK, select_topk, softmax_over_, topk_attention_cpu


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
    kept = select_topk(scores, topk)
    assert torch.equal(scores, before)
    assert kept.sum(-1).eq(topk).all()
    worst, best_left = scores.masked_fill(~kept, torch.inf).amin(-1), scores.masked_fill(kept, -torch.inf).amax(-1)
    assert (worst >= best_left).all()
    expected = scores.masked_fill(~kept, -torch.inf).softmax(-1)
    torch.testing.assert_close(softmax_over_(scores, kept), expected)


def test_a_dropped_key_of_any_score_leaves_no_trace():
    """[CLS] out of the pool scores higher than all patches: its weight and its gradients are zero, not NaN."""
    q, k, v = (torch.randn(1, 1, 9, 4) for _ in range(3))
    k[:, :, 0] = 1e4 * q.mean(dim=2)
    q, k, v = (x.requires_grad_() for x in (q, k, v))
    out = homologous_attention(q, k, v, 3, num_prefix=1)
    out.sum().backward()
    expected = homologous_attention_reference(q, k, v, 3, num_prefix=1)
    torch.testing.assert_close(out, expected)
    assert not k.grad[:, :, 0].any() and not v.grad[:, :, 0].any() and q.grad.isfinite().all()


def test_the_backward_pass_is_left_a_byte_a_score():
    """N^2 bytes of selection a head, and no N^2 floats of weights."""
    q, k, v = (torch.randn(2, 3, 20, 4, requires_grad=True) for _ in range(3))
    saved: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        homologous_attention(q, k, v, 5)
    square = [x for x in saved if x.shape == (2, 3, 20, 20)]
    assert [x.dtype for x in square] == [torch.bool]
    assert sum(x.nbytes for x in saved) == 3 * q.nbytes + 2 * 3 * 20 * 20


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
    assert counter.get_total_flops() == 7 * product  # two forward; scores again and four gradients backward, as in SDPA
