"""One way from a file to pixels, in every loader and checker."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from mixedae.datasets.listing import check_suffixes, subfolders
from mixedae.datasets.reading import LoadPicture, read_rgb, rgb
from mixedae.datasets.transforms import read_tensor
from mixedae.datasets.verify.decoding import size_of
from mixedae.errors import ConfigError, DataError

RNG = np.random.default_rng(0)


def gradient(height: int = 6, width: int = 9) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_ordinary_pictures_have_mmcvs_pixels(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    try:
        Image.fromarray(gradient()).convert(mode).save(path)
        Image.open(path).load()  # Pillow 12 does not read the YCbCr TIFF that it writes
    except (OSError, ValueError):
        pytest.skip(f"Pillow writes no {mode} as {suffix}")
    expected = LoadImageFromFile(imdecode_backend="pillow")({"img_path": str(path)})
    found = LoadPicture()({"img_path": str(path)})
    assert np.array_equal(found["img"], expected["img"])
    assert found["img_shape"] == found["ori_shape"] == expected["ori_shape"]


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint16, (3, 5)))
def test_sixteen_bits_are_scaled(values: np.ndarray) -> None:
    found = rgb(Image.fromarray(values), upright=True)
    assert np.array_equal(found, np.round(values / 257).astype(np.uint8)[..., None].repeat(3, 2))


def test_sixteen_bits_through_every_reader(tmp_path: Path) -> None:
    path = str(tmp_path / "a.png")
    Image.fromarray(np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)).save(path)
    assert read_rgb(path, upright=True).mean() == pytest.approx(127.5, abs=0.1)
    assert read_tensor(path).float().mean().item() == pytest.approx(127.5, abs=0.1)


@pytest.mark.parametrize("values", [np.full((4, 4), 0.5, np.float32), np.full((4, 4), 70_000, np.int32)])
def test_pixels_without_a_known_white_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(values).save(path)
    for read in (lambda: LoadPicture()({"img_path": str(path)}), lambda: read_tensor(str(path)), lambda: size_of(path)):
        with pytest.raises(DataError, match=r"a\.tif: .*expected 8 or 16 bits"):
            read()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_orientation_is_honoured_or_left_as_asked(tmp_path: Path, orientation: int, suffix: str) -> None:
    path, exif = tmp_path / f"a{suffix}", Image.Exif()
    exif[0x112] = orientation
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, :8] = 255
    Image.fromarray(pixels).save(path, exif=exif)
    stored, upright = read_rgb(path, upright=False), read_rgb(path, upright=True)
    assert stored.shape == (16, 32, 3) and stored[:8, :8].mean() > 200 and size_of(path) == (32, 16)
    assert upright.shape == ((32, 16, 3) if orientation > 4 else (16, 32, 3))
    assert np.abs(read_tensor(str(path)).permute(1, 2, 0).numpy().astype(int) - upright).max() <= 3


@pytest.mark.parametrize("content", [b"", b"\xff\xd8 no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_does_not_decode_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (lambda: read_rgb(path, True), lambda: read_tensor(str(path))):
        with pytest.raises(DataError, match=r"a\.png cannot be decoded"):
            read()


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "@eaDir"])
def test_folders_that_programs_leave_are_no_classes(tmp_path: Path, name: str) -> None:
    for each in ("cat", name):
        (tmp_path / each).mkdir()
    with pytest.raises(DataError, match=rf"{name} is no class"):
        subfolders(tmp_path)
    (tmp_path / name).rmdir()
    assert subfolders(tmp_path) == ["cat"]


def test_pictures_that_would_be_passed_over_are_told(tmp_path: Path) -> None:
    for name in ("a.png", "b.webp", "c.WEBP", "d.jfif", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"3 pictures in .* end in \.jfif, \.webp \(such as .*b\.webp\)"):
        check_suffixes(tmp_path)
    check_suffixes(tmp_path, (".png", ".webp", ".jfif"))


def test_links_are_followed(tmp_path: Path) -> None:
    from mixedae.datasets.verify.layouts import class_folders

    real = tmp_path / "elsewhere"
    real.mkdir()
    Image.new("RGB", (4, 4)).save(real / "a.png")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "cat").symlink_to(real)
    assert class_folders(tmp_path / "train") == ["cat"]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "P"])
def test_one_and_four_channels(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.tif"
    image = Image.fromarray(gradient()).convert(mode)
    image.save(path)
    grey = LoadPicture(channels=1)({"img_path": str(path)})["img"]
    assert grey.shape == (6, 9) and np.array_equal(grey, np.asarray(image.convert("RGB").convert("L")))
    if mode in ("RGBA", "CMYK"):
        assert np.array_equal(LoadPicture(channels=4)({"img_path": str(path)})["img"], np.asarray(image))
    else:
        with pytest.raises(DataError, match=f"has mode {mode}; expected four channels"):
            LoadPicture(channels=4)({"img_path": str(path)})
    with pytest.raises(ConfigError, match="channels=2 found"):
        LoadPicture(channels=2)
