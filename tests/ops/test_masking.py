"""MAE's masks: exact numbers, partitions, and the shape that their names promise."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedae.errors import ConfigError
from mixedae.ops import block_masking, draw_mask, grid_masking, random_masking

relaxed = settings(deadline=None, max_examples=30)


def as_maps(removed, grid):
    """(B, rows, cols) with 1 where a patch is removed."""
    maps = torch.zeros(len(removed), grid[0] * grid[1])
    return maps.scatter(1, removed, 1.0).view(-1, *grid)


def border(maps):
    """Number of edges between a removed and a kept neighbour, a batch's mean."""
    return ((maps[:, 1:] != maps[:, :-1]).sum((1, 2)) + (maps[:, :, 1:] != maps[:, :, :-1]).sum((1, 2))).float().mean()


@relaxed
@given(
    st.sampled_from(["random", "block"]), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.floats(0.05, 0.95)
)
def test_masks_partition_the_positions_with_an_exact_number(masking, batch, rows, cols, ratio):
    length = rows * cols
    expected = int(length * (1 - ratio))
    if not 0 < expected < length:
        with pytest.raises(ConfigError, match="mask ratio"):
            draw_mask(masking, batch, (rows, cols), ratio)
        return
    kept, removed = draw_mask(masking, batch, (rows, cols), ratio)
    assert kept.shape == (batch, expected)
    assert torch.equal(torch.cat((kept, removed), 1).sort(1).values, torch.arange(length).expand(batch, -1))


@pytest.mark.parametrize("ratio", [0.5, 0.75])
def test_blocks_are_blocks(ratio):
    """BEiT's masks hang together: far fewer edges between removed and kept patches than in random masks."""
    generator = torch.Generator().manual_seed(0)
    _, blocks = block_masking(200, (14, 14), ratio, generator)
    _, scattered = random_masking(200, 196, ratio, generator)
    assert border(as_maps(blocks, (14, 14))) < 0.5 * border(as_maps(scattered, (14, 14)))


def test_blocks_have_no_favourite_side():
    _, removed = block_masking(4000, (14, 14), 0.5, torch.Generator().manual_seed(0))
    share = as_maps(removed, (14, 14)).mean(0)
    assert share.mean().item() == pytest.approx(0.5)
    for flipped in (share.flip(0), share.flip(1), share.T):
        assert (share - flipped).abs().max() < 6 * (2 * 0.25 / 4000) ** 0.5  # six standard errors of a difference


def test_grid_keeps_one_of_every_two_by_two():
    kept, removed = grid_masking(3, (14, 14), 0.75)
    maps = as_maps(removed, (14, 14))
    assert maps.view(3, 7, 2, 7, 2).sum((2, 4)).eq(3).all()
    assert kept.shape == (3, 49)
    assert removed.shape == (3, 147)
    assert maps[:, ::2, ::2].eq(0).all()


def test_draws_are_reproducible():
    def make(seed):
        return block_masking(4, (6, 6), 0.5, torch.Generator().manual_seed(seed))[1]

    assert torch.equal(make(1), make(1))
    assert not torch.equal(make(1), make(2))


@pytest.mark.parametrize(
    ("masking", "grid", "ratio", "message"),
    [
        ("blocks", (4, 4), 0.75, "masking='blocks'"),
        ("grid", (4, 4), 0.5, "mask_ratio=0.75"),
        ("grid", (4, 5), 0.75, "even number"),
        ("random", (4, 4), 1.0, "keeps 0 of 16"),
        ("block", (4, 4), 0.0, "keeps 16 of 16"),
    ],
)
def test_impossible_masks_are_named(masking, grid, ratio, message):
    with pytest.raises(ConfigError, match=message):
        draw_mask(masking, 2, grid, ratio)
