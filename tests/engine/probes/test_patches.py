"""Patches and the pixels below them: against loops, Pillow's nearest pixel, and other ways to the same draw."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, SequentialSampler

from mixedae.engine.probes.patches import (
    IGNORED,
    Patches,
    _smallest,
    resized,
    sample_patches,
    to_mask,
    to_patches,
)
from mixedae.errors import ConfigError


@settings(max_examples=30, deadline=None)
@given(height=st.integers(3, 20), width=st.integers(3, 20), side=st.integers(1, 6), seed=st.integers(0, 99))
def test_patches_hold_the_pixels_of_the_mask_and_give_it_back(height: int, width: int, side: int, seed: int) -> None:
    mask = torch.randint(0, 9, (height, width), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    pixels = to_patches(mask, (height, width), side)
    columns = -(-width // side)
    for patch, row in enumerate(pixels.tolist()):
        for place, label in enumerate(row):
            y, x = patch // columns * side + place // side, patch % columns * side + place % side
            assert label == (int(mask[y, x]) if y < height and x < width else IGNORED)
    assert to_mask(pixels, (height, width), side, (height, width)).equal(mask)


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(2, 30), st.integers(2, 30)),
    wanted=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 99),
)
def test_another_size_takes_pillows_nearest_pixel(size: tuple, wanted: tuple, seed: int) -> None:
    mask = np.random.default_rng(seed).integers(0, 200, size).astype(np.uint8)
    expected = np.asarray(Image.fromarray(mask).resize(wanted[::-1], Image.Resampling.NEAREST))
    found = resized(torch.from_numpy(mask), wanted).numpy()
    on_edge = [(2 * np.arange(b) + 1) * a % (2 * b) == 0 for a, b in zip(size, wanted, strict=True)]
    sure = ~(on_edge[0][:, None] | on_edge[1][None])  # between two pixels, Pillow's rounding decides
    np.testing.assert_array_equal(found[sure], expected[sure])


def test_a_patch_has_the_label_of_most_of_its_pixels() -> None:
    pixels = torch.tensor([[3, 3, 1, 255], [1, 2, 2, 1], [255, 255, 255, 4]], dtype=torch.uint8)
    patches = Patches(torch.zeros(3, 2), pixels, torch.arange(3), torch.rand(3).double())
    assert patches.labels.tolist() == [3, 1, IGNORED]  # of equals the smallest
    assert patches.votes[:2].tolist() == [[3, 3, 1, 3], [1, 2, 2, 1]]  # what does not count votes with its patch


class Encoder(nn.Module):
    """Gives as features of a patch the picture's mean colour below it; patches of 4."""

    def __init__(self) -> None:
        super().__init__()
        projection = nn.Conv2d(3, 3, 4, 4)
        self.backbone = nn.Module()
        self.backbone.patch_embed = SimpleNamespace(projection=projection)
        self.backbone.forward = lambda x: (nn.functional.avg_pool2d(x, 4),)

    def data_preprocessor(self, batch: dict, training: bool) -> dict:
        return batch


def loader_of(pictures: Tensor, masks: Tensor, batch_size: int) -> DataLoader:
    items = [
        {"inputs": picture, "data_samples": SimpleNamespace(gt_sem_seg=SimpleNamespace(data=mask[None]))}
        for picture, mask in zip(pictures, masks, strict=True)
    ]

    def collate(batch: list[dict]) -> dict:
        return {
            "inputs": torch.stack([item["inputs"] for item in batch]),
            "data_samples": [item["data_samples"] for item in batch],
        }

    return DataLoader(items, batch_size, sampler=SequentialSampler(items), collate_fn=collate)  # type: ignore[arg-type]


@pytest.fixture
def scenes() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    masks = torch.randint(0, 4, (7, 12, 8), generator=generator)
    masks[:, :4, :4] = IGNORED
    return torch.randn(7, 3, 12, 8, generator=generator), masks


def test_the_draw_depends_on_the_seed_alone(scenes: tuple[Tensor, Tensor]) -> None:
    """Not on the batch size, nor on how many patches were in memory at a time; no patch without a label is drawn."""
    drawn = {size: sample_patches(Encoder(), loader_of(*scenes, size), 11, seed=1) for size in (1, 3, 7)}
    for size in (3, 7):
        assert drawn[size].features.equal(drawn[1].features) and drawn[size].pixels.equal(drawn[1].pixels)
    assert len(drawn[1]) == 11 and not (drawn[1].labels == IGNORED).any()
    everything = sample_patches(Encoder(), loader_of(*scenes, 2), 1000)
    assert len(everything) == 7 * 5  # of six patches of each picture one has no label
    assert everything.pictures.bincount().tolist() == [5] * 7
    features = nn.functional.avg_pool2d(scenes[0], 4).flatten(2).transpose(1, 2)[:, 1:].reshape(-1, 3)
    rows = {tuple(row) for row in features.tolist()}
    assert {tuple(row) for row in everything.features.tolist()} == rows
    other = sample_patches(Encoder(), loader_of(*scenes, 3), 11, seed=2)
    assert not other.features.equal(drawn[1].features)


def test_every_patch_has_the_same_chance(scenes: tuple[Tensor, Tensor]) -> None:
    counts = torch.zeros(7)
    for seed in range(200):
        drawn = sample_patches(Encoder(), loader_of(*scenes, 7), 7, seed)
        counts += drawn.pictures.bincount(minlength=7)
    assert counts.sum() == 1400
    assert ((counts - 200).abs() < 5 * (200 * 6 / 7) ** 0.5).all()  # five deviations


def test_the_shares_of_processes_give_the_whole(scenes: tuple[Tensor, Tensor]) -> None:
    """Each process keeps its smallest; a picture that pads the last round is in two shares and counts once."""
    everything = sample_patches(Encoder(), loader_of(*scenes, 7), 1000)
    shares = [
        everything[(torch.isin(everything.pictures, torch.tensor(own))).nonzero().flatten()]
        for own in ([0, 2, 4, 6], [1, 3, 5, 0])
    ]
    together = _smallest([_smallest([share], 9) for share in shares], 9)
    alone = _smallest([everything], 9)
    assert together.features.equal(alone.features) and together.pictures.equal(alone.pictures)


def test_a_backbone_without_maps_is_refused(scenes: tuple[Tensor, Tensor]) -> None:
    model = Encoder()
    model.backbone.forward = lambda x: (x.flatten(2),)
    with pytest.raises(ConfigError, match="out_type=featmap"):
        sample_patches(model, loader_of(*scenes, 2), 10)
