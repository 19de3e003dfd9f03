"""The masked patches of Eq. (4) against loops over every position."""

import pytest
import torch

from mixedae.ops import masked_positions, sample_sources


@pytest.mark.parametrize("mode", ["compose", "full"])
@pytest.mark.parametrize(
    ("group_size", "length", "shares"),
    [(4, 16, None), (3, 16, None), (5, 7, None), (2, 9, (0.75, 0.25)), (4, 16, (0.5, 0.25, 0.125, 0.125))],
)
def test_masked_positions_are_those_that_a_source_did_not_give(mode, group_size, length, shares) -> None:
    generator = torch.Generator().manual_seed(0)
    sources = sample_sources(3, length, group_size, mode, generator, shares=shares)
    batch = 3 * group_size
    masked = masked_positions(sources, batch, group_size, shares)
    rows = [(m, g, position) for m in range(len(sources)) for g in range(group_size) for position in range(length)]
    expected = set()
    for m, g, position in rows:
        image = (m if mode == "compose" else m // group_size) * group_size + g
        if sources[m, position] != g:
            expected.add((m * group_size + g, position, image * length + position))
    sequence = torch.arange(len(sources) * group_size)[:, None].expand_as(masked.read)
    decoded = torch.stack((sequence, masked.read), dim=-1)  # tokens that say where they come from
    found = torch.cat(
        (masked.of_decoded(decoded), masked.of_images(torch.arange(batch * length).view(batch, -1, 1))), 1
    )
    assert len(found) == len(expected) == len(sources) * (group_size - 1) * length
    assert {tuple(row) for row in found.tolist()} == expected
    assert (masked.rows is None) == (length % group_size == 0 and shares is None)
