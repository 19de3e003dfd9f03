"""Predictions drawn on their pictures, beside the truth if it is known."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks

SMALLEST_SIDE = 384
"""Smaller pictures are enlarged before anything is drawn: labels would cover them."""
MASK_ALPHA = 0.55
GAP = 8

Colour = tuple[int, int, int]


def draw(
    sample: Any, image: np.ndarray, classes: Sequence[str], palette: Sequence[Colour], score: float
) -> Image.Image:
    """One tested picture: the truth on the left (without a truth, the bare picture), the prediction on the right.

    Args:
        sample: the data sample that a model of mmpretrain, mmseg or mmdet returned.
        image: the picture, (H, W, 3) uint8, at the size of the predictions.
        classes: names by label.
        palette: colours by label.
        score: boxes with less are not drawn.
    """
    factor = max(1, -(-SMALLEST_SIDE // min(image.shape[:2])))
    picture = torch.from_numpy(_enlarged(image, factor)).permute(2, 0, 1).contiguous()
    if "pred_sem_seg" in sample:
        maps = [sample.get(part).data.squeeze(0).cpu() for part in ("gt_sem_seg", "pred_sem_seg") if part in sample]
        maps = [torch.from_numpy(_enlarged(found.numpy(), factor)) for found in maps]
        panels = [_coloured(picture, found, palette) for found in maps]
        seen = sorted({int(label) for found in maps for label in found.unique()} & set(range(len(classes))))
        legend = [(classes[label], palette[label]) for label in seen]
    elif "pred_instances" in sample:
        found = sample.pred_instances
        panels = [_boxed(picture, found[found.scores >= score], factor, classes, palette)]
        if "labels" in sample.get("gt_instances", ()):  # mmdet packs empty instances if none were loaded
            panels.insert(0, _boxed(picture, sample.gt_instances, factor, classes, palette))
        legend = []
    else:
        return _captioned([picture], _verdict(sample, classes), [])
    left = "truth" if len(panels) == 2 else "picture"
    return _captioned([picture, *panels][-2:], [f"left: {left}, right: prediction"], legend)


def colours(count: int) -> list[Colour]:
    """Colours that tell labels apart, for data sets that bring none: matplotlib's tab20, strong ones first.

    Args:
        count: how many.
    """
    scale: Any = matplotlib.colormaps["tab20"]
    table = [tuple(round(255 * part) for part in scale(i)[:3]) for i in (*range(0, 20, 2), *range(1, 20, 2))]
    return [table[i % len(table)] for i in range(count)]


def _enlarged(pixels: np.ndarray, factor: int) -> np.ndarray:
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _coloured(picture: Tensor, labels: Tensor, palette: Sequence[Colour]) -> Tensor:
    """Ignored pixels stay as the photograph has them."""
    there = [int(label) for label in labels.unique() if label < len(palette)]
    if not there:
        return picture
    masks = torch.stack([labels == label for label in there])
    return draw_segmentation_masks(picture, masks, alpha=MASK_ALPHA, colors=[tuple(palette[i]) for i in there])


def _boxed(picture: Tensor, instances: Any, factor: int, classes: Sequence[str], palette: Sequence[Colour]) -> Tensor:
    labels = [int(label) for label in instances.labels]
    if not labels:
        return picture
    paints = [tuple(palette[label]) for label in labels]
    if "masks" in instances:
        masks = instances.masks if isinstance(instances.masks, Tensor) else instances.masks.to_tensor(torch.bool, "cpu")
        large = np.stack([_enlarged(mask, factor) for mask in masks.cpu().numpy().astype(bool)])
        picture = draw_segmentation_masks(picture, torch.from_numpy(large), alpha=MASK_ALPHA, colors=paints)
    boxes = torch.as_tensor(getattr(instances.bboxes, "tensor", instances.bboxes)).cpu() * factor
    picture = draw_bounding_boxes(picture, boxes, colors=paints, width=2)
    canvas = Image.fromarray(picture.permute(1, 2, 0).numpy())
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for i in reversed(range(len(labels))):  # the surest last, over the others
        text = classes[labels[i]] + (f" {float(instances.scores[i]):.2f}" if "scores" in instances else "")
        right, bottom = pen.textbbox((0, 0), text, font=font)[2:]
        x = min(max(0.0, float(boxes[i, 0])), max(0, canvas.width - right - 4))
        y = min(max(0.0, float(boxes[i, 1])), canvas.height - bottom - 3)
        pen.rectangle((x, y, x + right + 4, y + bottom + 3), fill=paints[i])
        pen.text((x + 2, y + 1), text, font=font, fill="black" if sum(paints[i]) > 330 else "white")
    return torch.from_numpy(np.array(canvas)).permute(2, 0, 1)


def _verdict(sample: Any, classes: Sequence[str]) -> list[str]:
    predicted = sample.pred_label.tolist()
    named = ", ".join(f"{classes[label]} {float(sample.pred_score[label]):.2f}" for label in predicted) or "none"
    lines = [f"prediction: {named}"]
    if "gt_label" in sample:
        truth = sample.gt_label.tolist()
        verdict = "right" if set(truth) == set(predicted) else "wrong"
        lines = [f"truth: {', '.join(classes[label] for label in truth)}", f"{lines[0]} ({verdict})"]
    return lines


def _captioned(panels: Sequence[Tensor], lines: Sequence[str], legend: Sequence[tuple[str, Colour]]) -> Image.Image:
    """Panels side by side over a white strip with text, and the name and colour of each class."""
    arrays = [panel.permute(1, 2, 0).numpy() for panel in panels]
    gap = np.full((arrays[0].shape[0], GAP, 3), 255, np.uint8)
    picture = np.hstack([part for array in arrays for part in (gap, array)][1:])
    font, width = ImageFont.load_default(16), picture.shape[1]
    entries: list[tuple[str, Colour | None]] = [*((line, None) for line in lines), *legend]
    places, x, y = [], GAP, GAP
    for name, colour in entries:
        length = int(font.getlength(name)) + (22 if colour else 0) + 22
        if x + length > width and x > GAP:
            x, y = GAP, y + 26
        places.append((x, y))
        x += length
    strip = Image.new("RGB", (width, y + 30), "white")
    pen = ImageDraw.Draw(strip)
    for (x, y), (name, colour) in zip(places, entries, strict=True):
        if colour:
            pen.rectangle((x, y + 2, x + 16, y + 18), fill=tuple(colour))
        pen.text((x + (22 if colour else 0), y), name, fill="black", font=font)
    return Image.fromarray(np.vstack((picture, np.asarray(strip))))
