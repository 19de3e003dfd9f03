"""Crops of a batch: the boxes are mmpretrain's in distribution, the pixels torchvision's but for rounding."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.datasets.transforms import RandomResizedCrop
from scipy.stats import ks_2samp

from mixedae.ops.crops import draw_boxes, resized_crops


def expected_crop(image: torch.Tensor, box: list[int], size: tuple[int, int]) -> torch.Tensor:
    top, left, height, width = box
    crop = image[:, top : top + height, left : left + width]
    return F.resize(crop, list(size), F.InterpolationMode.BICUBIC, antialias=True)


@settings(deadline=None, max_examples=60)
@given(
    side=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    size=st.tuples(st.integers(2, 40), st.integers(2, 40)),  # of 1 torchvision's result for floats is not uint8's
    faint=st.booleans(),
    seed=st.integers(0, 2**31 - 1),
)
def test_pixels_are_torchvisions(side, size, faint, seed):
    """Smaller and larger; noise too, whose overshoot is cut off. On uint8 torchvision rounds between its two passes,
    and there cuts an overshoot off: on faint pictures, which have none, that is worth a grey level."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (3, 2, *side), generator=generator, dtype=torch.uint8)
    if faint:
        images = 96 + images // 4
    boxes = draw_boxes(3, *side, area=(0.05, 1.0), generator=generator)
    got = resized_crops(images, boxes, size)
    assert got.shape == (3, 2, *size) and got.dtype == torch.float32 and torch.equal(got, got.round())
    for picture, box, ours in zip(images, boxes.tolist(), got, strict=True):
        floating = expected_crop(picture.float(), box, size)  # without rounding between the passes
        assert (ours - floating.clamp(0, 255)).abs().max() <= 0.5 + 1e-3
        assert not faint or (ours - expected_crop(picture, box, size).float()).abs().max() <= 1


def test_a_picture_whose_box_is_itself_is_unchanged_and_a_flip_mirrors_it():
    images = torch.randint(256, (2, 3, 9, 9), dtype=torch.uint8)
    boxes = torch.tensor([[0, 0, 9, 9]] * 2)
    got = resized_crops(images, boxes, (9, 9), torch.tensor([False, True]))
    assert torch.equal(got, torch.stack((images[0], images[1].flip(-1))).float())


def test_nothing_outside_the_box_is_seen():
    inside = torch.full((1, 3, 12, 12), 100, dtype=torch.uint8)
    outside = inside.clone()
    outside[:, :, :, :5] = 255
    box = torch.tensor([[2, 5, 7, 6]])
    assert torch.equal(resized_crops(outside, box, (8, 8)), resized_crops(inside, box, (8, 8)))


@pytest.mark.parametrize(
    ("height", "width", "area"),
    [(64, 64, (0.2, 1.0)), (48, 100, (0.2, 1.0)), (64, 64, (0.9, 1.0))],
    ids=["square", "wide", "few attempts fit"],
)
def test_boxes_are_distributed_as_mmpretrains(height, width, area):
    """Two samples of 4,000 boxes; each of area, aspect ratio and place passes a Kolmogorov-Smirnov test."""
    count = 4000
    np.random.seed(0)
    draw = RandomResizedCrop(64, crop_ratio_range=area)
    image = np.empty((height, width, 3), np.uint8)
    theirs = np.array([draw.rand_crop_params(image) for _ in range(count)], dtype=float)
    ours = draw_boxes(count, height, width, area, generator=torch.Generator().manual_seed(0)).double().numpy()
    for sample in (ours, theirs):
        assert (sample[:, :2] >= 0).all() and (sample[:, 2:] >= 1).all()
        assert (sample[:, 0] + sample[:, 2] <= height).all() and (sample[:, 1] + sample[:, 3] <= width).all()
    for feature in (
        lambda b: b[:, 2] * b[:, 3],
        lambda b: b[:, 3] / b[:, 2],
        lambda b: b[:, 0],
        lambda b: b[:, 1],
        lambda b: b[:, 0] / np.maximum(height - b[:, 2], 1),
        lambda b: b[:, 1] / np.maximum(width - b[:, 3], 1),
    ):
        assert ks_2samp(feature(ours), feature(theirs)).pvalue > 0.001


@pytest.mark.parametrize(("height", "width"), [(10, 100), (100, 10), (30, 30)])
def test_where_no_box_fits_the_largest_central_one_is_taken(height, width):
    draw = RandomResizedCrop(8, crop_ratio_range=(1.5, 2.0))
    expected = draw.rand_crop_params(np.empty((height, width, 3), np.uint8))
    assert draw_boxes(5, height, width, area=(1.5, 2.0)).tolist() == [list(expected)] * 5


def test_the_same_generator_draws_the_same_boxes():
    first, second, third = (
        draw_boxes(6, 64, 64, (0.2, 1.0), generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert torch.equal(first, second) and not torch.equal(first, third)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_cpus_pixels():
    images = torch.randint(256, (16, 3, 64, 64), dtype=torch.uint8)
    boxes = draw_boxes(16, 64, 64, (0.2, 1.0))
    ours, expected = resized_crops(images.cuda(), boxes.cuda(), (48, 48)).cpu(), resized_crops(images, boxes, (48, 48))
    assert (ours - expected).abs().max() <= 1 and (ours != expected).float().mean() < 0.01  # rounding at a half
    drawn = draw_boxes(64, 64, 64, (0.2, 1.0), device="cuda")
    assert drawn.is_cuda and (drawn[:, 0] + drawn[:, 2] <= 64).all() and (drawn[:, 1] + drawn[:, 3] <= 64).all()
