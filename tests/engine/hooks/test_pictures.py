"""What is drawn lies where it was predicted, in the class's colour, and leaves the rest of the photograph alone."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample

from mixedae.engine.hooks.pictures import GAP, MASK_ALPHA, SMALLEST_SIDE, colours, draw

CLASSES = ("a", "b", "c")
PALETTE = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
SIDE, FACTOR = 48, SMALLEST_SIDE // 48
GREY = np.full((SIDE, SIDE, 3), 100, np.uint8)


def panels(sample: object, image: np.ndarray = GREY) -> tuple[np.ndarray, np.ndarray]:
    """Left and right half of what was drawn, without the caption."""
    drawn = np.asarray(draw(sample, image, CLASSES, PALETTE, 0.3))
    side = SIDE * FACTOR
    assert drawn.shape[1] == 2 * side + GAP and drawn.shape[0] > side
    assert (drawn[:side, side : side + GAP] == 255).all()
    return drawn[:side, :side], drawn[:side, side + GAP :]


def blend(colour: tuple[int, int, int]) -> np.ndarray:
    return np.array([100 * (1 - MASK_ALPHA) + MASK_ALPHA * part for part in colour])


def seg_sample(**maps: torch.Tensor) -> SegDataSample:
    return SegDataSample(**{name: PixelData(data=labels[None]) for name, labels in maps.items()})


def test_masks_lie_where_they_are_and_ignored_pixels_stay() -> None:
    truth, found = torch.zeros(SIDE, SIDE, dtype=torch.long), torch.ones(SIDE, SIDE, dtype=torch.long)
    truth[:10], found[:, 40:] = 255, 2
    left, right = panels(seg_sample(gt_sem_seg=truth, pred_sem_seg=found))
    assert (left[: 10 * FACTOR] == 100).all()
    assert np.abs(left[10 * FACTOR :] - blend(PALETTE[0])).max() <= 1
    assert np.abs(right[:, : 40 * FACTOR] - blend(PALETTE[1])).max() <= 1
    assert np.abs(right[:, 40 * FACTOR :] - blend(PALETTE[2])).max() <= 1


def test_without_truth_the_picture_stands_on_the_left() -> None:
    left, right = panels(seg_sample(pred_sem_seg=torch.ones(SIDE, SIDE, dtype=torch.long)))
    assert (left == 100).all() and np.abs(right - blend(PALETTE[1])).max() <= 1


@pytest.mark.parametrize("score", [0.9, 0.2])
def test_boxes_and_masks_above_the_threshold(score: float) -> None:
    mask = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
    mask[0, 20:30, 10:30] = True
    found = InstanceData(
        bboxes=torch.tensor([[10.0, 20.0, 30.0, 40.0]]), labels=torch.tensor([2]), scores=torch.tensor([score])
    )
    found.masks = mask
    left, right = panels(DetDataSample(gt_instances=InstanceData(), pred_instances=found))
    assert (left == 100).all()
    if score < 0.3:
        assert (right == 100).all()
        return
    inside = right[26 * FACTOR : 30 * FACTOR - 2, 10 * FACTOR + 3 : 30 * FACTOR - 3]
    assert np.abs(inside - blend(PALETTE[2])).max() <= 1
    assert (right[30 * FACTOR, 10 * FACTOR] == PALETTE[2]).all()  # the box's edge
    assert (right[31 * FACTOR : 40 * FACTOR - 3, 11 * FACTOR : 29 * FACTOR] == 100).all()  # in the box, off the mask
    assert (right[: 20 * FACTOR - 3] == 100).all() and (right[:, : 10 * FACTOR - 3] == 100).all()


def test_a_picture_without_objects_is_drawn_too() -> None:
    empty = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long), scores=torch.zeros(0))
    left, right = panels(DetDataSample(pred_instances=empty))
    assert (left == right).all()


def test_classification_is_told_below_the_picture() -> None:
    sample = DataSample().set_pred_score(torch.tensor([0.1, 0.7, 0.2])).set_pred_label(1)
    bare = np.asarray(draw(sample, GREY, CLASSES, PALETTE, 0.3))
    right = np.asarray(draw(sample.clone().set_gt_label(1), GREY, CLASSES, PALETTE, 0.3))
    wrong = np.asarray(draw(sample.clone().set_gt_label(2), GREY, CLASSES, PALETTE, 0.3))
    side = SIDE * FACTOR
    for drawn in (bare, right, wrong):
        assert (drawn[:side] == 100).all() and (drawn[side:] < 128).any()
    assert not np.array_equal(right[side:], wrong[side:])


@pytest.mark.parametrize("labels", [[], [2], [0, 2]])
def test_several_labels_or_none_are_told_too(labels: list[int]) -> None:
    sample = DataSample().set_pred_score(torch.tensor([0.6, 0.1, 0.9])).set_pred_label(torch.tensor(labels).long())
    right = np.asarray(draw(sample.clone().set_gt_label(labels), GREY, CLASSES, PALETTE, 0.3))
    wrong = np.asarray(draw(sample.clone().set_gt_label([*labels, 1]), GREY, CLASSES, PALETTE, 0.3))
    assert (right[: SIDE * FACTOR] == 100).all() and right.shape[1] == wrong.shape[1]
    assert not np.array_equal(right[-20:], wrong[-20:])


def test_colours_differ() -> None:
    assert len(set(colours(20))) == 20 and len(colours(150)) == 150
