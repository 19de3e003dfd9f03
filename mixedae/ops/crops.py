"""Random resized crop and flip of a whole batch on its own device: a few matrix products, on a CPU as on a GPU.

MAE (arXiv 2111.06377, appendix A.1) and MixedAE (section 4.1) pre-train with this crop, which is Inception's (arXiv
1409.4842). Boxes are drawn as by RandomResizedCrop of torchvision and mmpretrain; the filter is their antialiased
bicubic one.
"""

import math

import torch
from torch import Tensor


def draw_boxes(
    count: int,
    height: int,
    width: int,
    area: tuple[float, float],
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
    attempts: int = 10,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Boxes of random area, aspect ratio and place. All attempts are drawn at once, so that no GPU is waited for.

    Args:
        count: B.
        height: of the pictures, in pixels.
        width: of the pictures, in pixels.
        area: smallest and largest share of the picture's area; uniform between them.
        aspect: smallest and largest width / height; log-uniform between them.
        attempts: draws per picture. The first box that fits is taken; if none fits, the largest central one.
        generator: source of randomness.
        device: where to draw.

    Returns:
        int64 (B, 4): top, left, height, width.
    """
    u = torch.rand(4, attempts, count, generator=generator, device=device, dtype=torch.float64)
    wanted = (area[0] + (area[1] - area[0]) * u[0]) * height * width
    low, high = math.log(aspect[0]), math.log(aspect[1])
    ratio = torch.exp(low + (high - low) * u[1])
    w, h = (wanted * ratio).sqrt().round(), (wanted / ratio).sqrt().round()
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    top, left = (u[2] * (height - h + 1)).floor(), (u[3] * (width - w + 1)).floor()
    boxes = torch.stack((top, left, h, w), dim=-1).long()  # (attempts, B, 4)
    largest_h, largest_w = height, width
    if width / height < aspect[0]:
        largest_h = round(width / aspect[0])
    elif width / height > aspect[1]:
        largest_w = round(height * aspect[1])
    central = [(height - largest_h) // 2, (width - largest_w) // 2, largest_h, largest_w]
    first = fits.int().argmax(dim=0)
    chosen = boxes.gather(0, first[None, :, None].expand(-1, -1, 4))[0]
    return torch.where(fits.any(dim=0)[:, None], chosen, torch.tensor(central, device=boxes.device))


def _cubic_(x: Tensor) -> Tensor:
    """Keys' kernel with a = -0.5 (Pillow's, and torchvision's with antialiasing), in place and without branches.

    ``outer`` is the cubic for 1 <= |x| < 2; it is 0 at 2. For |x| < 1 ``inner`` is added to it; it is 0 at 1.
    """
    near = x.abs_().clamp(max=1)
    far = x.clamp_(max=2)
    inner = ((2 * near).sub_(5).mul_(near).add_(4)).mul_(near).sub_(1)
    outer = ((-0.5 * far).add_(2.5).mul_(far).sub_(4)).mul_(far).add_(2)
    return outer.add_(inner)


def _resampling(start: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """One axis as a matrix (B, size, side): each row holds the filter's weights over the pixels of the box.

    Args:
        start: int64 (B,), first pixel of the box.
        length: int64 (B,), number of its pixels.
        side: number of pixels of the picture.
        size: number of pixels wanted.
    """
    pixel = torch.arange(side, device=start.device)
    scale = (length / size)[:, None]  # pixels of the box per pixel of the result
    centre = start[:, None] + (torch.arange(size, device=start.device) + 0.5) * scale
    inside = (pixel >= start[:, None]) & (pixel < (start + length)[:, None])
    place = torch.where(inside, pixel + 0.5, torch.inf)  # pixels outside the box are too far away to get a weight
    weights = _cubic_((place[:, None] - centre[..., None]).div_(scale.clamp(min=1)[..., None]))
    return weights.div_(weights.sum(dim=-1, keepdim=True))


def resized_crops(images: Tensor, boxes: Tensor, size: tuple[int, int], flip: Tensor | None = None) -> Tensor:
    """Cut a box out of each picture and resize it (antialiased bicubic), as torchvision's ``resized_crop`` does.

    The filter is separable: two batched matrix products, in fp32, with the boxes in the matrices.

    Args:
        images: (B, C, H, W), uint8 or of values 0..255.
        boxes: int64 (B, 4): top, left, height, width.
        size: height and width wanted.
        flip: bool (B,), True if the result is mirrored; default: none is.

    Returns:
        fp32 (B, C, *size), whole numbers 0..255, as a uint8 picture would hold.
    """
    rows = _resampling(boxes[:, 0], boxes[:, 2], images.shape[2], size[0])
    columns = _resampling(boxes[:, 1], boxes[:, 3], images.shape[3], size[1])
    if flip is not None:
        columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    with torch.autocast(images.device.type, enabled=False):
        wide = images.float().flatten(1, 2) @ columns.transpose(1, 2)  # one product per picture, not per channel
        resized = rows[:, None] @ wide.unflatten(1, images.shape[1:3])
    return resized.round_().clamp_(0, 255)
