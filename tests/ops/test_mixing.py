"""Eqs. (1) to (4): mixing and unmixing against loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedae.errors import ConfigError, GroupSizeError
from mixedae.ops import mix, num_groups, sample_sources, target_images, unmix

shapes = st.fixed_dictionaries(
    {
        "groups": st.integers(1, 3),
        "group_size": st.integers(2, 6),
        "extra": st.integers(0, 13),
        "mode": st.sampled_from(["compose", "full"]),
        "seed": st.integers(0, 2**31 - 1),
    }
)
relaxed = settings(deadline=None, max_examples=40)


def draw(case):
    generator = torch.Generator().manual_seed(case["seed"])
    length = case["group_size"] + case["extra"]
    sources = sample_sources(case["groups"], length, case["group_size"], case["mode"], generator)
    patches = torch.randn(case["groups"] * case["group_size"], length, 3, generator=generator)
    return patches, sources


def image_of(row, source, case):
    """Index in the batch of source ``source`` of mixed sample ``row``, by the definition of a group."""
    group = row if case["mode"] == "compose" else row // case["group_size"]
    return group * case["group_size"] + source


@relaxed
@given(shapes)
def test_every_source_gives_an_equal_share(case):
    """Eq. (2): rL patches each, and where G does not divide L the shares differ by one at most."""
    _, sources = draw(case)
    counts = torch.stack([(sources == g).sum(1) for g in range(case["group_size"])], dim=1)
    assert counts.sum(1).eq(sources.shape[1]).all()
    assert (counts.max(1).values - counts.min(1).values <= 1).all()
    if sources.shape[1] % case["group_size"] == 0:
        assert counts.eq(sources.shape[1] // case["group_size"]).all()


@relaxed
@given(shapes)
def test_mix_is_eq_1(case):
    patches, sources = draw(case)
    mixed = mix(patches, sources, case["group_size"])
    for m in range(sources.shape[0]):
        for position in range(sources.shape[1]):
            image = image_of(m, int(sources[m, position]), case)
            assert torch.equal(mixed[m, position], patches[image, position])


@relaxed
@given(shapes)
def test_unmix_is_eq_3_and_inverts_mix(case):
    patches, sources = draw(case)
    size = case["group_size"]
    mask_token = torch.full((1, 1, 3), 7.0)
    unmixed = unmix(mix(patches, sources, size), sources, mask_token, size)
    targets = target_images(len(sources), len(patches), size)
    assert unmixed.shape == (len(sources) * size, sources.shape[1], 3)
    for m in range(sources.shape[0]):
        for g in range(size):
            assert targets[m * size + g] == image_of(m, g, case)
            for position in range(sources.shape[1]):
                got = unmixed[m * size + g, position]
                if sources[m, position] == g:
                    assert torch.equal(got, patches[image_of(m, g, case), position])
                else:
                    assert torch.equal(got, mask_token[0, 0])


@relaxed
@given(shapes, st.lists(st.integers(1, 9), min_size=6, max_size=6))
def test_unequal_shares_are_dealt_out_whole(case, parts):
    """Largest remainder: every count within one of its share, the sum L, and any source can get any share."""
    size, length = case["group_size"], 6 * (case["group_size"] + case["extra"])
    shares = [x / sum(parts[:size]) for x in parts[:size]]
    generator = torch.Generator().manual_seed(case["seed"])
    if min(share * length for share in shares) < 1:
        return
    sources = sample_sources(case["groups"], length, size, case["mode"], generator, shares=shares)
    for row in sources:
        counts = sorted(int((row == g).sum()) for g in range(size))
        assert sum(counts) == length
        for count, share in zip(counts, sorted(shares), strict=True):
            assert abs(count - share * length) < 1


def test_unequal_shares_favour_no_place_in_the_group():
    def share_of(g):
        return (sources == g).float().mean().item()

    sources = sample_sources(4000, 8, 2, generator=torch.Generator().manual_seed(0), shares=(0.75, 0.25))
    assert sorted({int((row == 0).sum()) for row in sources}) == [2, 6]
    assert share_of(0) == pytest.approx(0.5, abs=5 * 0.25 / 4000**0.5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.uint8])
def test_mixing_keeps_the_dtype_and_every_bit(dtype):
    patches = torch.randint(0, 255, (8, 12, 3), generator=torch.Generator().manual_seed(0)).to(dtype)
    sources = sample_sources(2, 12, 4, generator=torch.Generator().manual_seed(1))
    mixed = mix(patches, sources, 4)
    assert mixed.dtype == dtype
    unmixed = unmix(mixed, sources, torch.zeros(1, dtype=dtype), 4)
    assert unmixed.dtype == dtype
    assert torch.equal(unmixed.view(2, 4, 12, 3).sum(1, dtype=dtype), mixed)


def test_full_mode_with_one_row_kept_is_compose():
    patches = torch.randn(8, 12, 5)
    full = sample_sources(2, 12, 4, "full")
    kept = full[[0, 4]]
    assert torch.equal(mix(patches, full, 4)[[0, 4]], mix(patches, kept, 4))


def test_draws_are_reproducible_and_unbiased():
    def make(seed):
        return sample_sources(4000, 6, 4, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(make(1), make(1))
    assert not torch.equal(make(1), make(2))
    share = torch.stack([(make(3) == g).float().mean(0) for g in range(4)])  # per source and position
    assert (share - 0.25).abs().max() < 5 * (0.25 * 0.75 / 4000) ** 0.5  # 5 standard errors


@pytest.mark.parametrize(
    ("batch", "size"), [(6, 4), (0, 4), (3, 1), (7, 2)], ids=["not divided", "empty", "no mixing", "odd"]
)
def test_a_batch_that_the_group_size_does_not_divide_is_named(batch, size):
    with pytest.raises(GroupSizeError, match=str(size)):
        num_groups(batch, size)


def test_bad_arguments_are_named():
    with pytest.raises(GroupSizeError, match="number of patches"):
        sample_sources(1, 3, 4)
    with pytest.raises(ConfigError, match="compose"):
        sample_sources(1, 8, 4, "composed")
    with pytest.raises(ConfigError, match="4 positive numbers with sum 1"):
        sample_sources(1, 16, 4, shares=(0.5, 0.5))
    with pytest.raises(ConfigError, match="without a patch"):
        sample_sources(1, 4, 2, shares=(0.95, 0.05))
    with pytest.raises(GroupSizeError, match="expected"):
        mix(torch.zeros(8, 12, 2), torch.zeros(3, 12, dtype=torch.int64), 4)
