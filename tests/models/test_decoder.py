"""The decoder: the last block at the positions that are read equals the whole block, in values and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedae.errors import ConfigError
from mixedae.ops import take

from .conftest import build


def decoder(depth: int, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    neck = build("MAE", neck={"decoder_depth": depth}).neck
    for name, p in neck.named_parameters():
        if name.endswith("bias"):  # initialised to zero: a bias that goes astray would not be seen
            torch.nn.init.normal_(p)
    return neck


@settings(deadline=None, max_examples=25)
@given(
    depth=st.integers(1, 3),
    batch=st.integers(1, 3),
    wanted=st.integers(1, 16),
    with_cls=st.booleans(),
    seed=st.integers(0, 2**31 - 1),
)
def test_positions_that_are_read_are_what_the_full_decoder_gives_there(depth, batch, wanted, with_cls, seed):
    """In float64 to 1e-12 of rounding; every parameter's gradient, and those of the tokens."""
    neck = decoder(depth, seed).double()
    read = torch.rand(batch, 16).argsort(dim=1)[:, :wanted]
    tokens = torch.randn(batch, 16, 16, dtype=torch.float64, requires_grad=True)
    cls = torch.randn(batch, 1, 16, dtype=torch.float64, requires_grad=True) if with_cls else None
    inputs = [tokens] if cls is None else [tokens, cls]
    weight = torch.randn(batch, wanted, 48, dtype=torch.float64)
    outcomes = []
    for features in (neck(tokens, cls, read), take(neck(tokens, cls), read)):
        neck.zero_grad()
        pixels = neck.predict(features)
        gradients = torch.autograd.grad((pixels * weight).sum(), inputs + list(trained(neck)))
        outcomes.append([pixels, *gradients])
    for ours, expected in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-11, rtol=1e-11)


def trained(neck: torch.nn.Module) -> list[torch.nn.Parameter]:
    outside = ("decoder_pos_embed", "mask_token", "decoder_embed.weight", "decoder_embed.bias")
    return [p for name, p in neck.named_parameters() if name not in outside]


def test_in_fp32_the_difference_is_rounding():
    neck = decoder(2, 0)
    tokens, cls, read = torch.randn(4, 16, 16), torch.randn(4, 1, 16), torch.rand(4, 16).argsort(dim=1)[:, :12]
    torch.testing.assert_close(neck(tokens, cls, read), take(neck(tokens, cls), read), atol=1e-6, rtol=1e-6)


def test_a_decoder_without_blocks_is_refused():
    with pytest.raises(ConfigError, match="decoder_depth=0"):
        build("MAE", neck={"decoder_depth": 0})
