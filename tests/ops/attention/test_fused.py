"""The fused kernels against the definition in float64: on a GPU where there is one, else in Triton's interpreter."""

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mixedae.ops import homologous_attention, homologous_attention_reference, topk_mask
from mixedae.ops.attention.homologous import why_not_fused

triton = pytest.importorskip("triton")
from mixedae.ops.attention.fused import Tiling, fused_attention, topk_attention  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 4e-2}


@pytest.fixture(autouse=True)
def bfloat16_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton 3.6's interpreter multiplies the bit patterns of bf16 matrices; give it their values instead."""
    if DEVICE == "cuda":
        return
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle, _convert_float

    plain = InterpreterBuilder.create_dot

    def create_dot(self, a, b, *args):
        if a.dtype.scalar == tl.bfloat16:
            a, b = (
                TensorHandle(_convert_float(x.data, tl.bfloat16, tl.float32, None).view("float32"), tl.float32)
                for x in (a, b)
            )
        return plain(self, a, b, *args)

    monkeypatch.setattr(InterpreterBuilder, "create_dot", create_dot)


def draw(tokens, channels, dtype=torch.float32, samples=1, heads=1, levels=None, seed=0):
    """Views of one packed projection, as the encoder makes them; with ``levels`` integers, so that many scores tie."""
    generator = torch.Generator().manual_seed(seed)
    size = (samples, tokens, 3, heads, channels)
    packed = torch.randn(size, generator=generator)
    if levels:
        packed[:, :, :2] = torch.randint(-levels, levels + 1, packed[:, :, :2].shape, generator=generator).float()
    packed = packed.to(DEVICE, dtype).requires_grad_()
    return packed, packed.permute(2, 0, 3, 1, 4).unbind(0)


def selected(q, k, topk, scale, prefix, v):
    """The mask that the operator's saved numbers stand for."""
    _, threshold, last, _ = topk_attention(q, k, v, topk, scale, prefix)
    scores = (q.float() @ k.float().transpose(-2, -1)) * torch.tensor(scale * math.log2(math.e), dtype=torch.float32)
    cols = torch.arange(q.shape[-2], device=q.device)
    tied = (scores == threshold[..., None]) & (cols <= last[..., None])
    return ((scores > threshold[..., None]) | tied) & (cols >= prefix)


CASES = [
    # tokens, channels, K, prefix, dtype, heads
    (37, 32, 9, 0, torch.float32, 2),
    (37, 48, 9, 1, torch.bfloat16, 1),  # channels and tokens that are no powers of two, [CLS] out of the pool
    (64, 32, 1, 0, torch.float16, 1),
    (33, 32, 31, 1, torch.float32, 1),  # all but one of the pool
]
LARGE = [
    (197, 64, 49, 0, torch.bfloat16, 1),
    (197, 64, 49, 1, torch.float32, 1),
    (260, 80, 64, 0, torch.float16, 1),
    (520, 128, 130, 0, torch.bfloat16, 1),
]


@pytest.mark.parametrize(
    ("tokens", "channels", "topk", "prefix", "dtype", "heads"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in LARGE)],
)
def test_values_and_gradients(tokens, channels, topk, prefix, dtype, heads):
    packed, (q, k, v) = draw(tokens, channels, dtype, heads=heads)
    exact = packed.detach().double().requires_grad_()
    out = fused_attention(q, k, v, topk, channels**-0.5, prefix)
    expected = homologous_attention_reference(*exact.permute(2, 0, 3, 1, 4).unbind(0), topk, num_prefix=prefix)
    weight = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    out.backward(weight.to(dtype))
    expected.backward(weight.to(dtype).double())
    assert out.dtype == dtype and packed.grad is not None and exact.grad is not None
    bound = TOLERANCE[dtype]
    torch.testing.assert_close(out.double(), expected, atol=bound, rtol=bound)
    torch.testing.assert_close(packed.grad.double(), exact.grad, atol=bound * 2, rtol=bound * 2)


@pytest.mark.parametrize(("topk", "prefix", "levels"), [(5, 0, 1), (12, 1, 1)])
def test_ties_keep_exactly_k_and_the_same_in_both_passes(topk, prefix, levels):
    """Scores of small integers: whole groups of keys tie at the threshold, and arithmetic is exact."""
    packed, (q, k, v) = draw(29, 32, levels=levels)
    q = q * 0 if topk == 12 else q  # all scores equal
    scale = 32**-0.5
    mask = selected(q, k, topk, scale, prefix, v)
    assert mask.sum(-1).eq(topk).all()
    scores = q @ k.transpose(-2, -1)
    pool = scores[..., prefix:]
    left = pool.masked_fill(mask[..., prefix:], -torch.inf).amax(-1)
    assert (scores.masked_fill(~mask, torch.inf).amin(-1) >= left).all()
    out = fused_attention(q, k, v, topk, scale, prefix)
    masked = (q.double() @ k.double().transpose(-2, -1) * scale).masked_fill(~mask, -torch.inf).softmax(-1) @ v.double()
    torch.testing.assert_close(out.double(), masked, atol=1e-5, rtol=1e-5)
    weight = torch.randn(out.shape, device=DEVICE)
    (ours,) = torch.autograd.grad(out, packed, weight, retain_graph=True)
    (theirs,) = torch.autograd.grad(masked, packed, weight.double())
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_the_selection_is_that_of_topk_mask():
    _, (q, k, v) = draw(40, 32, heads=2, seed=3)
    assert torch.equal(selected(q, k, 7, 32**-0.5, 0, v), topk_mask(q, k, 7))


def test_scores_of_every_magnitude_and_sign():
    """Bisection ends where halving values would not: scores from 1e-30 to 1e30, both zeros."""
    q = torch.ones(1, 1, 16, 16, device=DEVICE)
    k = torch.zeros(1, 1, 16, 16, device=DEVICE)
    k[0, 0, :, 0] = torch.tensor([1e30, -1e30, 1e-30, -1e-30, 0.0, -0.0, 1.0, -1.0, *range(2, 10)])
    v = torch.randn(1, 1, 16, 16, device=DEVICE)
    for topk in (4, 11, 15):
        mask = selected(q, k, topk, 1.0, 0, v)
        assert mask.sum(-1).eq(topk).all()
        lowest = (k[0, 0, :, 0].expand(16, 16)).masked_fill(~mask[0, 0], torch.inf).amin(-1)
        assert lowest.eq(k[0, 0, :, 0].sort(descending=True).values[topk - 1]).all()


def test_a_nan_is_not_swallowed():
    _, (q, k, v) = draw(20, 16)
    q = q.detach().clone()
    q[0, 0, 3, 1] = torch.nan
    broken = fused_attention(q, k, v, 2, 0.25, 0)[0, 0].isnan().any(-1)
    assert broken.tolist() == [i == 3 for i in range(20)]


def test_the_operator_is_registered_fully():
    _, (q, k, v) = draw(9, 16)
    torch.library.opcheck(topk_attention, (*(x.detach().requires_grad_() for x in (q, k, v)), 3, 0.25, 0))


def test_floating_point_operations_are_those_of_flash_attention():
    _, (q, k, v) = draw(9, 16)
    with FlopCounterMode(display=False) as counter:
        fused_attention(q, k, v, 3, 0.25, 0).sum().backward()
    assert counter.get_total_flops() == (2 + 5) * 2 * 9 * 9 * 16


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (dict(allowed=torch.ones(1, 1, 8, 8, dtype=torch.bool)), "allowed"),
        (dict(v=torch.zeros(1, 1, 8, 4)), "differ in shape"),
        (dict(v=torch.zeros(1, 1, 8, 16, dtype=torch.float64)), "float64"),
        (dict.fromkeys("qkv", torch.zeros(1, 1, 1025, 16)), "1025 tokens"),
        (dict.fromkeys("qkv", torch.zeros(1, 1, 8, 160)), "160 channels"),
        ({}, ""),
    ],
)
def test_what_the_kernel_does_not_take_is_named(change, named):
    inputs = dict.fromkeys("qkv", torch.zeros(1, 1, 8, 16)) | dict(allowed=None) | change
    reason = why_not_fused(**inputs)
    assert (named in reason) if named else reason == ""


@pytest.mark.parametrize("itemsize", [2, 4])
def test_tilings_fit_the_chip(itemsize):
    for tokens in range(2, 1025, 3):
        for channels in (16, 32, 48, 64, 80, 96, 128):
            t = Tiling.of(tokens, channels, itemsize)
            assert t.block_n >= tokens and t.block_d >= channels and t.block_d % t.width == 0
            assert t.block_n * t.width * itemsize <= 2**17
            assert all(x >= 16 and x & (x - 1) == 0 for x in (t.block_d, t.width, t.block_m, t.block_n, t.block_k))


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("tokens", [50, 65, 197, 257, 260, 577, 1024])
@pytest.mark.parametrize("channels", [32, 64, 80, 128])
def test_on_a_device_against_float64(tokens, channels, dtype):
    """Through the public function, with more than one wave of programs."""
    topk = max(1, tokens // 4)
    packed, (q, k, v) = draw(tokens, channels, dtype, samples=4, heads=12)
    exact = packed.detach().double().requires_grad_()
    mask = selected(q, k, topk, channels**-0.5, 0, v)
    assert mask.sum(-1).eq(topk).float().mean() > 0.999  # torch sums a score in another order: near-ties may flip here
    assert (mask == topk_mask(q, k, topk)).float().mean() > 0.9999
    out = homologous_attention(q, k, v, topk)
    assert "topk_attention" in type(out.grad_fn).__name__  # the kernel, not the fallback
    expected = homologous_attention_reference(*exact.permute(2, 0, 3, 1, 4).unbind(0), topk)
    weight = torch.randn_like(expected)
    out.backward(weight.to(dtype))
    expected.backward(weight.to(dtype).double())
    bound = TOLERANCE[dtype]
    close = torch.isclose(out.double(), expected, atol=bound, rtol=bound)
    assert close.float().mean() > 0.999  # a flipped near-tie moves one row
    assert packed.grad is not None and exact.grad is not None
    error = (packed.grad.double() - exact.grad).norm() / exact.grad.norm()
    assert error < bound


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_compiled_on_a_device():
    _, (q, k, v) = draw(197, 64, torch.bfloat16, samples=2, heads=12)
    compiled = torch.compile(homologous_attention, fullgraph=True)
    torch.testing.assert_close(compiled(q, k, v, 49), homologous_attention(q, k, v, 49))
