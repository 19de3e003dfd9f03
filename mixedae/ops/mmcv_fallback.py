"""``mmcv._ext`` without a compiler: the operators that detection calls, on torchvision's kernels and plain torch.

``mixedae/__init__.py`` offers this file to Python as ``mmcv._ext`` if mmcv has none compiled (a compiled one wins).
Every function has the name, the argument names and the in-place outputs of mmcv's binding (mmcv's file
ops/csrc/pytorch/pybind.cpp), runs on its tensors' device (CPU or CUDA), and computes fp16 and bf16 inputs in fp32.

Covered is only what is exact: ``nms``, ``softnms``, ``bbox_overlaps``, average RoIAlign, sigmoid focal loss.
Any other name can be imported, as ``mmcv.ops`` does with all of them, and raises
:class:`~mixedae.errors.OperatorNotCoveredError` when it is called. torchvision's ``roi_pool`` is left out on purpose:
it rounds boxes to whole pixels, and mmcv's does not.
"""

from collections.abc import Callable
from typing import NoReturn

import mmcv
import torch
import torchvision  # registers torch.ops.torchvision
from torch import Tensor

from mixedae.errors import OperatorNotCoveredError

COVERED = "nms, softnms, bbox_overlaps, roi_align (average pooling), sigmoid_focal_loss"


def _not_covered(operator: str) -> NoReturn:
    raise OperatorNotCoveredError(
        f"mmcv's operator {operator} was called, but this mmcv has no compiled operators (covered: {COVERED}). "
        "Choose a model that does without it, or build mmcv's own operators with a C++ compiler (and nvcc for a GPU): "
        "pip install 'setuptools>=80,<82' wheel && "
        f"pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation onedl-mmcv=={mmcv.__version__}"
    )


def __getattr__(name: str) -> Callable[..., NoReturn]:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def operator(*args: object, **kwargs: object) -> NoReturn:
        _not_covered(f"`{name}`")

    return operator


def get_compiler_version() -> str:
    """What ``mmcv.utils.collect_env`` prints as the compiler of mmcv's operators."""
    return f"none (torchvision {torchvision.__version__})"


def get_compiling_cuda_version() -> str:
    """What ``mmcv.utils.collect_env`` prints as the CUDA version that mmcv's operators were compiled with."""
    return f"none (torchvision {torchvision.__version__})"


def _at_least_fp32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy non-maximum suppression: drop each box whose IoU with a kept box of higher score exceeds the threshold.

    Args:
        boxes: (N, 4), x1 y1 x2 y2.
        scores: (N,).
        iou_threshold: compared in fp32, as mmcv does: an IoU of 3/10 is not above 0.3 (torchvision alone says it is).
        offset: 0, or 1 if x2 and y2 are the last pixels inside a box: sides are x2 - x1 + offset.

    Returns:
        int64 (K,), indices of the kept boxes by descending score.
    """
    boxes = _at_least_fp32(boxes)
    if offset:
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()
    return torch.ops.torchvision.nms(boxes, scores.to(boxes.dtype), threshold)


def _overlaps(boxes1: Tensor, boxes2: Tensor, over_first: bool, offset: int) -> Tensor:
    """Broadcast (..., 4) against (..., 4): intersection over union, or over the area of the first box."""
    sides1, sides2 = (b[..., 2:] - b[..., :2] + offset for b in (boxes1, boxes2))
    shared = torch.minimum(boxes1[..., 2:], boxes2[..., 2:]) - torch.maximum(boxes1[..., :2], boxes2[..., :2]) + offset
    intersection = shared.clamp(min=0).prod(-1)
    area1 = sides1.prod(-1)
    return intersection / (area1 if over_first else area1 + sides2.prod(-1) - intersection)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft non-maximum suppression (arXiv 1704.04503): take the best box, lower the scores of its neighbours, repeat.

    Which of two boxes of equal score comes first is unspecified.

    Args:
        boxes: (N, 4), x1 y1 x2 y2.
        scores: (N,).
        dets: (N, 5), written to: row k is the k-th kept box and its lowered score; rows from K on stay as they are.
        iou_threshold: from this IoU on, methods 0 and 1 lower a score.
        sigma: width of method 2.
        min_score: a box is dropped if its score was lowered below this.
        method: 0 drops neighbours, 1 multiplies their scores by 1 - IoU, 2 all scores by exp(-IoU^2 / sigma).
        offset: see :func:`nms`.

    Returns:
        int64 (K,), indices of the kept boxes by descending lowered score.
    """
    boxes, scores = _at_least_fp32(boxes), _at_least_fp32(scores)
    left = torch.arange(len(boxes), device=boxes.device)
    kept: list[Tensor] = []
    while len(left):
        best = scores.argmax()
        dets[len(kept)] = torch.cat([boxes[left[best]], scores[best, None]])
        kept.append(left[best])
        iou = _overlaps(boxes[left[best]], boxes[left], over_first=False, offset=offset)
        if method == 2:
            scores = scores * torch.exp(-iou.square() / sigma)
        else:
            scores = torch.where(iou >= iou_threshold, scores * (1 - iou) if method == 1 else 0.0, scores)
        stays = scores >= min_score
        stays[best] = False
        left, scores = left[stays], scores[stays]
    return torch.stack(kept) if kept else left


def bbox_overlaps(bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int) -> None:
    """Overlaps of every box with every other, or of pairs.

    Args:
        bboxes1: (M, 4), x1 y1 x2 y2.
        bboxes2: (N, 4).
        ious: written: (M, N), or (M,) if ``aligned``.
        mode: 0 intersection over union, 1 intersection over the area of the first box.
        aligned: box k of the first with box k of the second only (M = N).
        offset: see :func:`nms`.
    """
    boxes1, boxes2 = _at_least_fp32(bboxes1), _at_least_fp32(bboxes2)
    ious.copy_(_overlaps(boxes1 if aligned else boxes1[:, None], boxes2, over_first=mode == 1, offset=offset))


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign (arXiv 1703.06870, section 3): the mean of bilinear samples in each bin of each box.

    Args:
        input: (B, C, H, W).
        rois: (K, 5), image index and x1 y1 x2 y2 in pixels of the image.
        output: (K, C, aligned_height, aligned_width), written.
        argmax_y: unused with average pooling.
        argmax_x: unused with average pooling.
        aligned_height: bins from top to bottom.
        aligned_width: bins from left to right.
        spatial_scale: pixels of ``input`` per pixel of the image.
        sampling_ratio: samples per bin and axis; 0: one per pixel of ``input`` that the bin spans, rounded up.
        pool_mode: 1, average.
        aligned: pixel centres lie at .5; False is the legacy reading, with boxes of at least one pixel.

    Raises:
        OperatorNotCoveredError: pool_mode is 0, max pooling.
    """
    if pool_mode != 1:
        _not_covered("`roi_align_forward` with pool_mode='max'")
    x = _at_least_fp32(input)
    bins = (aligned_height, aligned_width)
    output.copy_(torch.ops.torchvision.roi_align(x, rois.to(x.dtype), spatial_scale, *bins, sampling_ratio, aligned))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of :func:`roi_align_forward` with respect to ``input``, added to ``grad_input`` (B, C, H, W).

    Args:
        grad_output: (K, C, aligned_height, aligned_width).
        rois: as in the forward pass, like every other argument.

    Raises:
        OperatorNotCoveredError: pool_mode is 0, max pooling.
    """
    if pool_mode != 1:
        _not_covered("`roi_align_backward` with pool_mode='max'")
    grad = _at_least_fp32(grad_output)
    bins = (aligned_height, aligned_width)
    grad_input += torch.ops.torchvision._roi_align_backward(
        grad, rois.to(grad.dtype), spatial_scale, *bins, *grad_input.shape, sampling_ratio, aligned
    )


def _focal_parts(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Probability p, 1 - p, their logarithms (of at least the smallest fp32, as in mmcv), and a mask of the target."""
    p = _at_least_fp32(input).sigmoid()
    q = 1 - p
    log_p, log_q = (x.clamp(min=torch.finfo(torch.float32).tiny).log() for x in (p, q))
    return p, q, log_p, log_q, target[:, None] == torch.arange(input.shape[1], device=input.device)


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Focal loss (arXiv 1708.02002, Eq. 5) of each logit, p = sigmoid(logit).

    The target's class costs -alpha (1-p)^gamma log p, every other class -(1-alpha) p^gamma log(1-p).

    Args:
        input: (N, C), logits.
        target: int64 (N,); a value that is no class (mmdet: C) is background.
        weight: (C,), a factor for each target class, or empty.
        output: (N, C), written.
        gamma: focusing exponent.
        alpha: weight of the target class.
    """
    p, q, log_p, log_q, positive = _focal_parts(input, target)
    loss = -torch.where(positive, alpha * q**gamma * log_p, (1 - alpha) * p**gamma * log_q)
    output.copy_(loss * weight[target, None] if weight.numel() else loss)


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivative of :func:`sigmoid_focal_loss_forward` by each logit, written to ``grad_input`` (N, C)."""
    p, q, log_p, log_q, positive = _focal_parts(input, target)
    grad_positive = alpha * q**gamma * (q - gamma * p * log_p)
    grad = -torch.where(positive, grad_positive, (1 - alpha) * p**gamma * (gamma * q * log_q - p))
    grad_input.copy_(grad * weight[target, None] if weight.numel() else grad)
