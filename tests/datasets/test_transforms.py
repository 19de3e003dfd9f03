"""The fast input: the same crops and, but for rounding, the same pixels as mmpretrain's Pillow pipeline."""

import io

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from PIL import Image

import mixedae.registry  # noqa: F401
from mixedae.datasets.transforms import LoadRandomResizedCrop, decode_rgb

CROP = dict(scale=64, crop_ratio_range=(0.2, 1.0))


def encoded(image: Image.Image, form: str = "JPEG", **kwargs) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **kwargs)
    return stream.getvalue()


@pytest.fixture
def photo(sample_data) -> Image.Image:
    return Image.open(sorted((sample_data / "coco_tiny/train2017").glob("*.jpg"))[0]).convert("RGB")


def test_same_crops_and_pixels_as_mmpretrain(sample_data):
    init_default_scope("mmpretrain")
    slow = Compose(
        [
            dict(type="LoadImageFromFile", imdecode_backend="pillow"),
            dict(type="RandomResizedCrop", backend="pillow", interpolation="bicubic", **CROP),
            dict(type="PackInputs"),
        ]
    )
    fast = Compose([dict(type="mixedae.LoadRandomResizedCrop", flip_prob=0.0, **CROP), dict(type="PackInputs")])
    for seed, path in enumerate(sorted((sample_data / "coco_tiny/train2017").glob("*.jpg"))[:8]):
        np.random.seed(seed)
        expected = slow(dict(img_path=str(path)))["inputs"].int()
        np.random.seed(seed)
        got = fast(dict(img_path=str(path)))["inputs"]
        assert got.shape == expected.shape == (3, 64, 64) and got.dtype == torch.uint8
        difference = (got.int() - expected).abs()
        assert difference.max() <= 2 and difference.float().mean() < 0.1


def test_half_of_the_pictures_are_flipped():
    np.random.seed(0)
    ramp = torch.arange(64, dtype=torch.uint8).expand(3, 64, 64)
    crop = LoadRandomResizedCrop(32)
    draws = [crop(dict(img=ramp))["img"][0, 0] for _ in range(400)]
    flipped = sum(int(row[0] > row[-1]) for row in draws)
    assert 160 < flipped < 240


def test_channels_come_blue_first():
    red = torch.zeros(3, 40, 40, dtype=torch.uint8)
    red[0] = 200
    assert LoadRandomResizedCrop(16)(dict(img=red))["img"][:, 3, 3].tolist() == [0, 0, 200]


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_every_colour_space_becomes_rgb(photo, mode, form):
    if (mode, form) == ("CMYK", "PNG"):
        return
    content = encoded(photo.convert(mode), form)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    assert np.abs(decode_rgb(content).permute(1, 2, 0).numpy() - expected).max() <= 3


def test_pictures_are_turned_upright(photo):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    turned, plain = decode_rgb(encoded(photo, exif=exif)), decode_rgb(encoded(photo))
    assert torch.equal(turned, plain.rot90(-1, (1, 2)))


def test_a_truncated_file_is_an_error_not_a_grey_half(photo):
    content = encoded(photo)
    with pytest.raises(OSError, match="truncated"):
        decode_rgb(content[: len(content) // 2])
