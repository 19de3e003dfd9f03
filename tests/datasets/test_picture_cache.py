"""Pictures decoded once: the same pixels, never shared, never more than the limit."""

from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from PIL import Image

from mixedae.datasets import picture_cache
from mixedae.datasets.picture_cache import LoadImageOnce, keep_pictures
from mixedae.errors import DataError


@pytest.fixture
def path(tmp_path: Path) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


def test_every_call_gives_what_mmcv_gives(path: str) -> None:
    expected = LoadImageFromFile(imdecode_backend="pillow")({"img_path": path})
    load = LoadImageOnce()
    for _ in range(3):
        found = load({"img_path": path})
        assert found.keys() == expected.keys()
        assert np.array_equal(found["img"], expected["img"])
        assert found["img_shape"] == found["ori_shape"] == expected["img_shape"] == (6, 5)
        found["img"][:] = 0  # a later step may write into it


def test_the_file_is_read_once(path: str) -> None:
    load = LoadImageOnce()
    first = load({"img_path": path})["img"]
    Path(path).unlink()
    assert np.array_equal(load({"img_path": path})["img"], first)


def test_what_is_over_the_limit_is_read_again(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_cache, "LIMIT", 6 * 5 * 3 - 1)
    load = LoadImageOnce()
    load({"img_path": path})
    Path(path).unlink()
    with pytest.raises(DataError, match="No such file"):
        load({"img_path": path})


def config(workers: int, first: str = "mixedae.LoadPicture") -> Config:
    loader = dict(num_workers=workers, dataset=dict(pipeline=[dict(type=first)]))
    return Config(dict(train_dataloader=loader))


def test_only_a_loader_without_workers_keeps_pictures() -> None:
    for cfg, expected in (
        (config(0), "mixedae.LoadImageOnce"),
        (config(2), "mixedae.LoadPicture"),
        (config(0, first="mixedae.LoadRandomResizedCrop"), "mixedae.LoadRandomResizedCrop"),
    ):
        keep_pictures(cfg)
        assert cfg.train_dataloader.dataset.pipeline[0] == dict(type=expected)
    keep_pictures(Config(dict(train_dataloader=dict(dataset=dict(type="mixedae.PicturesInMemory")))))
    keep_pictures(Config(dict()))
