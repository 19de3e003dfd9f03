"""ViTPyramid against a brute-force version and against mmseg's Feature2Pyramid."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mixedae.errors import ConfigError, ImageSizeError
from mixedae.models.pyramid import ViTPyramid

BN = dict(type="BN")


def doubled(x: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    """Each pixel becomes a 2 x 2 block of its own, written out: y[2i+a, 2j+b] = W[:, :, a, b]^T x[i, j] + bias."""
    batch, channels, height, width = x.shape
    out = x.new_empty(batch, channels, 2 * height, 2 * width)
    for a in range(2):
        for b in range(2):
            out[:, :, a::2, b::2] = torch.einsum("ncij,co->noij", x, layer.weight[:, :, a, b])
    return out + layer.bias[:, None, None]


def pooled(x: Tensor, size: int) -> Tensor:
    """Maximum over blocks, written out."""
    batch, channels, height, width = x.shape
    return x.reshape(batch, channels, height // size, size, width // size, size).amax((3, 5))


def test_every_level_is_what_it_says() -> None:
    torch.manual_seed(0)
    pyramid = ViTPyramid(6, rescales=ViTPyramid.FACTORS, norm_cfg=BN).eval()
    quad = pyramid.levels[0]
    quad[1].running_mean.normal_()  # a norm that does something
    maps = tuple(torch.randn(2, 6, 8, 4) for _ in ViTPyramid.FACTORS)
    out = pyramid(maps)
    expected = (
        doubled(nn.functional.gelu(quad[1](doubled(maps[0], quad[0]))), quad[3]),
        doubled(maps[1], pyramid.levels[1]),
        maps[2],
        pooled(maps[3], 2),
        pooled(maps[4], 4),
    )
    for level, want in zip(out, expected, strict=True):
        torch.testing.assert_close(level, want, atol=1e-5, rtol=1e-5)


def test_equals_mmseg_where_mmseg_works() -> None:
    from mmseg.models.necks.featurepyramid import Feature2Pyramid

    theirs = Feature2Pyramid(8, rescales=[4, 2, 1, 0.5], norm_cfg=BN)
    ours = ViTPyramid(8, norm_cfg=BN)
    ours.levels[0].load_state_dict(theirs.upsample_4x.state_dict())
    ours.levels[1].load_state_dict(theirs.upsample_2x[0].state_dict())
    maps = tuple(torch.randn(2, 8, 6, 10) for _ in range(4))
    for a, b in zip(ours(maps), theirs(maps), strict=True):
        torch.testing.assert_close(a, b)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


@settings(deadline=None, max_examples=25)
@given(
    factors=st.lists(st.sampled_from(ViTPyramid.FACTORS), min_size=1, max_size=5),
    height=st.integers(4, 9),
    width=st.integers(4, 9),
)
def test_any_selection_of_factors(factors: list[float], height: int, width: int) -> None:
    maps = [torch.randn(1, 4, height, width) for _ in factors]
    out = ViTPyramid(4, rescales=factors, norm_cfg=BN)(maps)
    assert [tuple(level.shape) for level in out] == [(1, 4, int(f * height), int(f * width)) for f in factors]


def test_strides_of_both_patch_sizes() -> None:
    """Patch 16 with (4, 2, 1, 1/2) and patch 8 with half of it give strides 4, 8, 16, 32."""
    for patch, rescales in ((16, (4, 2, 1, 0.5)), (8, (2, 1, 0.5, 0.25))):
        side = 128
        maps = [torch.randn(1, 4, side // patch, side // patch)] * 4
        assert [side // level.shape[-1] for level in ViTPyramid(4, rescales, BN)(maps)] == [4, 8, 16, 32]


def test_every_parameter_learns() -> None:
    """DDP refuses parameters without gradient."""
    pyramid = ViTPyramid(4, norm_cfg=BN)
    sum(level.square().sum() for level in pyramid([torch.randn(2, 4, 4, 4) for _ in range(4)])).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in pyramid.parameters() if p.ndim > 1)


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"factor 3 found; expected one of \(4, 2, 1, 0.5, 0.25\)"):
        ViTPyramid(4, rescales=(3,))
    pyramid = ViTPyramid(4, norm_cfg=BN)
    with pytest.raises(ConfigError, match=r"got 3 maps, expected 4.*out_indices"):
        pyramid([torch.randn(1, 4, 4, 4)] * 3)
    with pytest.raises(ImageSizeError, match="1 x 4 patches"):
        pyramid([torch.randn(1, 4, 1, 4)] * 4)


def test_syncbn_is_the_default() -> None:
    assert isinstance(ViTPyramid(4).levels[0][1], nn.SyncBatchNorm)
