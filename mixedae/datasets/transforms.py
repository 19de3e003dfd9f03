"""Pre-training's input in one step: decode, random resized crop and flip on uint8 tensors, by torchvision."""

import io
from typing import Any

import numpy as np
import torch
import torchvision.transforms.v2.functional as F
from mmengine.fileio import get
from mmpretrain.datasets.transforms import RandomResizedCrop
from PIL import Image
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from mixedae.datasets.reading import cannot_decode, rgb
from mixedae.errors import DataError
from mixedae.registry import TRANSFORMS


def decode_rgb(content: bytes) -> Tensor:
    """Decode an image file to RGB, turned upright as its EXIF data say; what is no JPEG goes through Pillow.

    Args:
        content: the file's bytes.

    Returns:
        uint8 (3, H, W).

    Raises:
        OSError: damaged or truncated, from Pillow.
        DataError: pixels that cannot be made 8-bit.
    """
    if content[:2] == b"\xff\xd8":
        try:
            buffer = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            return decode_jpeg(buffer, mode=ImageReadMode.RGB, apply_exif_orientation=True)
        except RuntimeError:
            pass  # a colour space that torchvision does not convert, or a damaged file, which Pillow names
    with Image.open(io.BytesIO(content)) as image:
        return torch.from_numpy(rgb(image, upright=True)).permute(2, 0, 1)


def read_tensor(path: str) -> Tensor:
    """Read a picture; see :func:`decode_rgb`.

    Args:
        path: of the file.

    Returns:
        uint8 (3, H, W).

    Raises:
        DataError: with the path.
    """
    try:
        return decode_rgb(get(path))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # Pillow raises by format and damage
        raise cannot_decode(path, error) from error


@TRANSFORMS.register_module()
class LoadRandomResizedCrop(RandomResizedCrop):
    """``LoadImageFromFile``, ``RandomResizedCrop`` and ``RandomFlip`` at once, about twice as fast.

    It draws the same crops as mmpretrain's (whose function it calls) and resizes with the same antialiased bicubic
    filter. Most pixels equal Pillow's; 0.02 % differ by more than one level, the worst measured by 11. A picture that
    the dataset has in memory (``img``) is not read.

    Args:
        scale: side of the output in pixels, or (height, width).
        crop_ratio_range: share of the image's area.
        flip_prob: probability of a horizontal flip.
        **kwargs: ``aspect_ratio_range`` and ``max_attempts``, see mmpretrain's.
    """

    def __init__(
        self,
        scale: int | tuple[int, int],
        crop_ratio_range: tuple[float, float] = (0.2, 1.0),
        flip_prob: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(scale, crop_ratio_range=crop_ratio_range, interpolation="bicubic", backend="pillow", **kwargs)
        self.flip_prob = flip_prob

    def transform(self, results: dict) -> dict:
        """Add ``img``: uint8 tensor (3, H, W), channels blue first, which is what OpenMMLab's preprocessors expect.

        Args:
            results: with ``img_path``, or with ``img``, uint8 tensor (3, H, W), channels red first.
        """
        image = results["img"] if "img" in results else read_tensor(results["img_path"])
        top, left, height, width = self.rand_crop_params(image.permute(1, 2, 0))
        crop = image[:, top : top + height, left : left + width]
        resized = F.resize(crop, list(self.scale), F.InterpolationMode.BICUBIC, antialias=True)
        flip = np.random.rand() < self.flip_prob
        results["img"] = resized.flip((0, 2) if flip else (0,))
        results["img_shape"] = self.scale
        return results
