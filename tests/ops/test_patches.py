"""Patches and per-patch normalisation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedae.errors import ImageSizeError
from mixedae.ops import normalize_patches, patchify, take, unpatchify


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 2, 4]))
def test_patchify_inverts_and_orders_row_column_channel(batch, rows, cols, size):
    images = torch.randn(batch, 3, rows * size, cols * size)
    patches = patchify(images, size)
    assert torch.equal(unpatchify(patches, size, (rows, cols)), images)
    for r in range(rows):
        for c in range(cols):
            block = images[:, :, r * size : (r + 1) * size, c * size : (c + 1) * size]
            assert torch.equal(patches[:, r * cols + c], block.permute(0, 2, 3, 1).flatten(1))


def test_an_image_that_the_patch_does_not_divide_is_named():
    with pytest.raises(ImageSizeError, match="225"):
        patchify(torch.zeros(1, 3, 224, 225), 16)


def test_normalised_patches_have_mean_zero_and_unbiased_variance_one():
    patches = torch.randn(2, 5, 48, dtype=torch.float64) * 3 + 1
    normal = normalize_patches(patches)
    expected = (patches - patches.mean(-1, keepdim=True)) / (patches.var(-1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(normal, expected)
    assert normalize_patches(torch.zeros(1, 1, 12, dtype=torch.float16)).dtype == torch.float32


def test_take_picks_by_position():
    tokens = torch.randn(2, 6, 3)
    positions = torch.tensor([[5, 0], [2, 2]])
    assert torch.equal(take(tokens, positions), torch.stack([tokens[0, [5, 0]], tokens[1, [2, 2]]]))
