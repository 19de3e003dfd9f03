"""From a file to 8-bit RGB pixels: the one way, for training, testing, checking, predictions and analysis.

Where only labels or nothing is known of a picture, its EXIF orientation is honoured. Where boxes or masks exist, stored
pixels count, because that is what annotation tools number.
"""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.fileio import get
from PIL import Image, ImageOps

from mixedae.errors import DataError
from mixedae.registry import TRANSFORMS

CANVAS = (124, 117, 104)
"""What shows through a transparent grey picture: ImageNet's mean, as in mmcv."""
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
UNKNOWN = re.compile(r"cannot identify image file <_io\.BytesIO object at \w+>")
TO_EIGHT_BIT = 257  # 65535 = 255 * 257


def rgb(image: Image.Image, upright: bool) -> np.ndarray:
    """The pixels of a picture.

    16-bit grey is divided by 257. A palette, black and white, CMYK and an alpha channel are converted by Pillow.

    Args:
        image: opened, not necessarily decoded.
        upright: turn it as its EXIF data say.

    Returns:
        uint8 (H, W, 3), red first.

    Raises:
        DataError: pixels are floats, or integers above 65535: nobody knows what is white.
        OSError: it does not decode, as Pillow says it.
    """
    if upright:
        image = ImageOps.exif_transpose(image)
    if image.mode in SIXTEEN_BIT:
        values = np.asarray(image)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise DataError(f"pixels from {values.min()} to {values.max()} found; expected 8 or 16 bits; convert it")
        grey = np.round(values.astype(np.float32) / TO_EIGHT_BIT).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == "F":
        raise DataError("float pixels found; expected 8 or 16 bits, whose white is known; convert it")
    if image.mode == "LA":
        transparent = image.convert("RGBA")
        image = Image.new("RGB", transparent.size, CANVAS)
        image.paste(transparent, mask=transparent.split()[3])
    return np.array(image.convert("RGB"))


def read_rgb(path: str | Path, upright: bool) -> np.ndarray:
    """Read a file.

    Args:
        path: of a picture, where mmengine's backends find it.
        upright: see :func:`rgb`.

    Returns:
        uint8 (H, W, 3), red first.

    Raises:
        DataError: with the path: it does not decode, or has pixels that cannot be made 8-bit.
    """
    try:
        with Image.open(io.BytesIO(get(str(path)))) as image:
            return rgb(image, upright)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, zlib.error, ... by format and damage
        raise cannot_decode(path, error) from error


def cannot_decode(path: str | Path, error: Exception) -> DataError:
    """The error for a file that Pillow refuses.

    Args:
        path: the file's.
        error: Pillow's, which names a buffer and not the file.
    """
    text = UNKNOWN.sub("it is empty, or no picture that Pillow knows", str(error))
    return DataError(f"{path} cannot be decoded: {text}; replace the file or remove it")


@TRANSFORMS.register_module()
class LoadPicture(LoadImageFromFile):
    """``LoadImageFromFile`` through :func:`read_rgb`. Ordinary pictures have the pixels of mmcv's Pillow backend.

    Args:
        upright: turn pictures as their EXIF data say; False where there are boxes or masks.
    """

    def __init__(self, upright: bool = True) -> None:
        super().__init__(imdecode_backend="pillow")
        self.upright = upright

    def transform(self, results: dict) -> dict[str, Any]:
        """Add ``img``, uint8 (H, W, 3) with blue first, ``img_shape`` and ``ori_shape``, (H, W).

        Args:
            results: with ``img_path``.

        Raises:
            DataError: see :func:`read_rgb`.
        """
        image = read_rgb(results["img_path"], self.upright)[:, :, ::-1]
        results["img"] = image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results
