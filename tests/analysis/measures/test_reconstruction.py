"""Pictures of reconstructions: given patches stay as they are, predictions come back to pixels."""

import pytest
import torch

from mixedae.analysis.measures.reconstruction import reconstruct_masked, reconstruct_mixed, to_pixels
from mixedae.ops import normalize_patches, patchify, sample_sources
from tests.models.conftest import build


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("mode", ["compose", "full"])
def test_given_patches_are_put_back_exactly(mode: str, images: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = build("MixedAE")
    mixed, filled, sources = reconstruct_mixed(model, images, mode, torch.Generator().manual_seed(5))
    torch.testing.assert_close(sources, sample_sources(2, 16, 4, mode, torch.Generator().manual_seed(5)))
    rows = 2 if mode == "compose" else 8
    assert mixed.shape == (rows, 3, 16, 16) and filled.shape == (rows, 4, 3, 16, 16)
    for m in range(rows):
        group = m if mode == "compose" else m // 4
        for position in range(16):
            y, x = 4 * (position // 4), 4 * (position % 4)
            given = int(sources[m, position])
            for g in range(4):
                original = images[group * 4 + g, :, y : y + 4, x : x + 4]
                shown = filled[m, g, :, y : y + 4, x : x + 4]
                assert torch.equal(shown, original) == (g == given)
            expected = images[group * 4 + given, :, y : y + 4, x : x + 4]
            assert torch.equal(mixed[m, :, y : y + 4, x : x + 4], expected)


def test_mae_keeps_what_it_kept(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    filled, removed = reconstruct_masked(build("MAE"), images, torch.Generator().manual_seed(5))
    removed = removed.expand_as(images)
    assert torch.equal(filled[~removed], images[~removed])
    assert not torch.isclose(filled[removed], images[removed]).all()
    per_patch = patchify(removed.float(), 4).mean(dim=-1)
    assert set(per_patch.unique().tolist()) == {0.0, 1.0} and per_patch.sum(dim=1).tolist() == [12] * 8


def test_perfect_predictions_give_the_original(images: torch.Tensor) -> None:
    patches = patchify(images, 4)
    model = build("MAE")
    torch.testing.assert_close(to_pixels(model, normalize_patches(patches), patches), patches)
    plain = build("MAE", head=dict(norm_pix=False))
    assert to_pixels(plain, patches, patches) is patches
