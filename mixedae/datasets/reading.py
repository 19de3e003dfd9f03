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

from mixedae.errors import ConfigError, DataError
from mixedae.registry import TRANSFORMS

CANVAS = (124, 117, 104)
"""What shows through a transparent grey picture: ImageNet's mean, as in mmcv."""
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
UNKNOWN = re.compile(r"cannot identify image file <_io\.BytesIO object at \w+>")
ORIENTATION = 0x0112  # EXIF's tag; 1 is upright
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
    if upright and image.getexif().get(ORIENTATION, 1) != 1:  # exif_transpose copies upright pictures, which takes time
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


def read_four(path: str | Path, upright: bool) -> np.ndarray:
    """Read a file of four channels as they are stored.

    Args:
        path: of a picture.
        upright: see :func:`rgb`.

    Returns:
        uint8 (H, W, 4), in the file's order.

    Raises:
        DataError: with the path: it does not decode, or has another number of channels.
    """
    try:
        with Image.open(io.BytesIO(get(str(path)))) as image:
            pixels = np.array(ImageOps.exif_transpose(image) if upright else image)
    except Exception as error:
        raise cannot_decode(path, error) from error
    if pixels.shape[2:] != (4,) or pixels.dtype != np.uint8:
        raise DataError(f"{path} has mode {image.mode}; expected four channels of 8 bits (RGBA or CMYK)")
    return pixels


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
        channels: 3; 1 for grey (of any picture, Pillow's ``L``); 4 for files that hold four (RGBA, CMYK), as stored.

    Raises:
        ConfigError: another number of channels.
    """

    def __init__(self, upright: bool = True, channels: int = 3) -> None:
        super().__init__(imdecode_backend="pillow")
        if channels not in (1, 3, 4):
            raise ConfigError(f"LoadPicture.channels={channels} found; expected 1 (grey), 3 (RGB) or 4 (as stored)")
        self.upright, self.channels = upright, channels

    def transform(self, results: dict) -> dict[str, Any]:
        """Add ``img``, uint8 (H, W, 3) with blue first, ``img_shape`` and ``ori_shape``, (H, W).

        Of one channel ``img`` is (H, W), of four (H, W, 4) in the file's order.

        Args:
            results: with ``img_path``.

        Raises:
            DataError: see :func:`read_rgb`; or four channels are wanted of a file that has others.
        """
        path = results["img_path"]
        image = read_four(path, self.upright) if self.channels == 4 else read_rgb(path, self.upright)
        if self.channels == 1:
            image = np.array(Image.fromarray(image).convert("L"))
        elif self.channels == 3:
            image = image[:, :, ::-1]
        results["img"] = image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results
