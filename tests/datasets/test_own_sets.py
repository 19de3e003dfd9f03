"""Classes of a set of one's own, read from its folder; each thing that cannot be read is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mixedae.datasets import own_sets
from mixedae.errors import DataError
from mixedae.files import ROOT


def picture(path: Path, value: int | np.ndarray = 7, mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((16, 16), value, np.uint8) if isinstance(value, int) else value.astype(np.uint8)
    image = Image.fromarray(pixels)
    if mode == "P":
        image.putpalette([channel for i in range(256) for channel in (i, 255 - i, 3)])
    image.save(path)
    return path


def masks(root: Path, values: list[int], images: str = "images/train", annotations: str = "annotations/train") -> Path:
    for i, value in enumerate(values):
        picture(root / images / f"{i}.jpg")
        picture(root / annotations / f"{i}.png", np.full((16, 16), value))
    return root


@pytest.mark.parametrize("train", ["train", "training", "train2017"])
def test_class_folders(tmp_path: Path, train: str) -> None:
    for name in ("b", "a", "c"):
        picture(tmp_path / train / name / "x.png")
    assert own_sets.class_folders(tmp_path) == ("a", "b", "c")


def test_one_class_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "only" / "x.png")
    with pytest.raises(DataError, match="nothing to tell apart"):
        own_sets.class_folders(tmp_path)


@pytest.mark.parametrize("values", [[0, 1], [0, 1, 2, 255], [2, 1, 0]])
def test_classes_from_mask_values(tmp_path: Path, values: list[int]) -> None:
    found = own_sets.segmentation(masks(tmp_path, values))
    count = len(set(values) - {255})
    assert found["classes"] == tuple(f"class_{i}" for i in range(count)) and not found["zero_is_ignored"]
    assert found["train"] == dict(img_path="images/train", seg_map_path="annotations/train")
    assert (found["img_suffix"], found["seg_map_suffix"]) == (".jpg", ".png")


def test_names_and_an_ignored_zero_come_from_classes_txt(tmp_path: Path) -> None:
    masks(tmp_path, [0, 1, 2], "images/training", "masks/training")
    for first, ignored in (("0\trare (ignore)\t-\n", True), ("0 sky\n", False), ("", True)):
        (tmp_path / "classes.txt").write_text(first + "1\tred car\t0.5\n2 tree\n")
        found = own_sets.segmentation(tmp_path)
        assert found["zero_is_ignored"] is ignored
        assert found["classes"] == (() if ignored else ("sky",)) + ("red car", "tree")
        assert found["train"]["seg_map_path"] == "masks/training"


def test_colours_of_the_masks_are_kept(tmp_path: Path) -> None:
    masks(tmp_path, [0])
    picture(tmp_path / "annotations/train/0.png", np.arange(256).reshape(16, 16) % 3, "P")
    assert own_sets.segmentation(tmp_path)["palette"] == [[0, 255, 3], [1, 254, 3], [2, 253, 3]]


@pytest.mark.parametrize(
    ("values", "text", "words"),
    [
        ([0, 255], None, "have 1 class"),  # 255 is ignored, and not the object
        ([0, 128], None, "but not 1, 2, 3"),
        ([0, 1], "0 a\n2 b\n", "but not 1"),
        ([0, 1], "red\n", "line 1: 'red' found"),
        ([0, 1], "", "is empty"),
        ([0, 1], "0 road (ignore)\n1 b\n", "have 1 class"),
    ],
)
def test_odd_masks_are_named(tmp_path: Path, values: list[int], text: str | None, words: str) -> None:
    masks(tmp_path, values)
    if text is not None:
        (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        own_sets.segmentation(tmp_path)


def test_pictures_of_several_kinds_are_named(tmp_path: Path) -> None:
    picture(masks(tmp_path, [0, 1]) / "images/train/2.png")
    with pytest.raises(DataError, match=r"end in \.jpg and \.png"):
        own_sets.segmentation(tmp_path)


@pytest.mark.parametrize(
    "file", ["annotations/instances_train.json", "annotations/train.json", "train/_annotations.coco.json"]
)
def test_coco_files_in_three_places(tmp_path: Path, file: str) -> None:
    picture(tmp_path / "train" / "a.jpg")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(json.dumps({"categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]}))
    found = own_sets.detection(tmp_path)
    assert found["classes"] == ("dog", "cat")
    assert found["train"] == dict(ann_file=file, data_prefix=dict(img="train/"))


@pytest.mark.parametrize("text", ["[", "[]", '{"categories": []}', '{"categories": [{"id": 1}]}'])
def test_odd_coco_files_are_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="has no annotations; expected one of"):
        own_sets.detection(tmp_path)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "train.json").write_text(text)
    with pytest.raises(DataError, match=r"train\.json"):
        own_sets.detection(tmp_path)


@pytest.mark.parametrize("task", ["classification", "segmentation", "detection"])
def test_a_config_without_its_data_can_be_looked_at(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"MIXEDAE_DATA_OWN_{task.upper()}", str(tmp_path / "absent"))
    cfg = Config.fromfile(ROOT / "mm_configs" / "own" / f"{task}.py")
    assert cfg.classes == own_sets.NOTHING_YET and cfg.test_dataloader
