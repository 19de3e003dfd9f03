"""Masks and COCO files that do not fit their config are named before training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mixedae.datasets.coco import CocoDataset, CocoMetric
from mixedae.engine.preflight.annotations import check_coco, check_masks, spread, tell_native_size
from mixedae.engine.preflight.config import check_evaluators
from mixedae.errors import ConfigError, DataError

CLASSES = ("cat", "dog", "emu")
SEG: dict[str, Any] = {"type": "BaseSegDataset", "metainfo": {"classes": CLASSES}}


def pairs(folder: Path, *masks: Any, size: tuple[int, int] = (4, 4)) -> list[tuple[Path, Path]]:
    found = []
    for i, mask in enumerate(masks):
        picture, path = folder / f"{i}.jpg", folder / f"{i}.png"
        Image.new("RGB", size).save(picture)
        image = mask if isinstance(mask, Image.Image) else Image.fromarray(np.full((4, 4), mask, np.uint8))
        image.save(path)
        found.append((picture, path))
    return found


@pytest.mark.parametrize(
    ("reduce", "mask", "message"),
    [
        (False, 3, r"0\.png has the value 3; expected 0 to 2 \(the 3 classes\) or 255"),
        (True, 4, r"0\.png has the value 4; expected 1 to 3 \(the 3 classes\), 0 \(ignored\) or 255"),
        (True, 0, r"none of the 1 masks .*reduce_zero_label right"),
        (False, 255, r"none of the 1 masks"),
        (False, Image.new("RGB", (4, 4)), r"0\.png has mode RGB"),
        (False, Image.new("L", (4, 5)), r"0\.png is 4 x 5, its picture \S+0\.jpg 4 x 4 pixels"),
    ],
)
def test_masks_that_do_not_fit(tmp_path: Path, reduce: bool, mask: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_masks({**SEG, "reduce_zero_label": reduce}, pairs(tmp_path, mask), "train", 3)


def test_what_is_no_error_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    check_masks({**SEG, "reduce_zero_label": True}, pairs(tmp_path, 0, 1, 3), "train", 3)
    err = capsys.readouterr().err
    assert "0.png has no labelled pixel, only 0" in err
    assert "no mask has a pixel of 1 of 3 classes: 2 (dog); 0 is ignored here" in err
    check_masks(SEG, pairs(tmp_path, 0, 1, 2), "train", 3)
    assert not capsys.readouterr().err


def test_a_large_set_is_looked_at_in_part() -> None:
    assert spread(range(10), 4) == [0, 3, 6, 9] and spread(range(3), 4) == [0, 1, 2]
    assert len(spread(range(100_000))) == 256


def coco(order: tuple[str, ...] = CLASSES) -> dict[str, Any]:
    """One object of each class on a picture of 64 x 64; ids follow the order of the categories."""
    ids = {name: 10 * (i + 1) for i, name in enumerate(order)}
    boxes = {name: [5 + 15 * i, 5, 10, 20] for i, name in enumerate(CLASSES)}
    return {
        "images": [{"id": 7, "file_name": "0.png", "width": 64, "height": 64}],
        "annotations": [
            {
                "id": i, "image_id": 7, "category_id": ids[name], "bbox": box, "area": box[2] * box[3], "iscrowd": 0,
                "segmentation": [[box[0], box[1], box[0] + 10, box[1], box[0] + 10, box[1] + 20]],
            }
            for i, (name, box) in enumerate(boxes.items(), 1)
        ],
        "categories": [{"id": ids[name], "name": name} for name in order],
    }  # fmt: skip


def write(folder: Path, data: dict[str, Any]) -> Path:
    Image.new("RGB", (64, 64)).save(folder / "0.png")
    (folder / "x.json").write_text(json.dumps(data))
    return folder / "x.json"


DET = {"type": "mixedae.CocoDataset", "pipeline": [{"type": "LoadAnnotations", "with_mask": True}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["annotations"][1].pop("area"), r"annotation 2 has no `area`"),
        (lambda d: d["annotations"][1].pop("segmentation"), r"annotation 2 has no `segmentation`"),
        (lambda d: d["annotations"][1].update(image_id=8), "annotation 2 is of image 8"),
        (lambda d: d["annotations"][1].update(category_id=8), "annotation 2 is of category 8"),
        (lambda d: d["categories"][0].update(name="catt"), "no category `cat`.*did you mean `catt`"),
        (lambda d: d["categories"].append({"id": 99, "name": "owl"}), "category `owl` .*background"),
        (lambda d: d["categories"].append({"id": 99, "name": "cat"}), "cat twice"),
        (lambda d: d["images"].append({"id": 8, "file_name": "1.png"}), r"1\.png of image 8 does not exist"),
        (lambda d: d["images"][0].update(width=63), "image 7 is said to be 63 x 64"),
        (lambda d: d.pop("categories"), "no COCO instances file: KeyError 'categories'"),
    ],
)
def test_coco_files_that_do_not_fit(tmp_path: Path, change: Callable[[dict], object], message: str) -> None:
    data = coco()
    assert check_coco(DET, write(tmp_path, data), tmp_path, "train", CLASSES) == 1
    change(data)
    with pytest.raises(DataError, match=message):
        check_coco(DET, write(tmp_path, data), tmp_path, "train", CLASSES)


def test_objects_without_area_are_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = coco()
    data["annotations"][0]["bbox"] = [5, 5, 0, 20]
    data["annotations"][1]["segmentation"] = [[1, 2, 3, 4]]
    check_coco(DET, write(tmp_path, data), tmp_path, "train", CLASSES)
    assert "2 of 3 objects have no area or lie outside their picture, such as annotation 1" in capsys.readouterr().err


@pytest.mark.parametrize("order", [("cat", "dog", "emu"), ("emu", "dog", "cat"), ("dog", "emu", "cat")])
def test_categories_are_known_by_name(tmp_path: Path, order: tuple[str, ...]) -> None:
    """Perfect boxes get AP 1, whatever the order of the file; label i is class i of the config."""
    import torch

    file = write(tmp_path, coco(order))
    data = CocoDataset(ann_file=str(file), data_prefix={"img": str(tmp_path)}, metainfo={"classes": CLASSES})
    instances = data.get_data_info(0)["instances"]
    assert [instance["bbox_label"] for instance in instances] == [0, 1, 2]
    metric = CocoMetric(ann_file=str(file), metric="bbox")
    metric.dataset_meta = data.metainfo
    boxes = torch.tensor([instance["bbox"] for instance in instances])
    found = {"bboxes": boxes, "scores": torch.ones(3), "labels": torch.arange(3)}
    metric.process({}, [{"img_id": 7, "ori_shape": (64, 64), "pred_instances": found}])
    assert metric.evaluate(1)["coco/bbox_mAP"] == pytest.approx(1.0)


def test_the_best_five_of_three_classes() -> None:
    cfg = {"model": {"head": {"num_classes": 3}}, "val_evaluator": {"type": "Accuracy", "topk": (1, 5)}}
    with pytest.raises(ConfigError, match=r"val_evaluator\.topk=\(1, 5\) and model\.head\.num_classes=3"):
        check_evaluators(cfg)
    check_evaluators({**cfg, "model": {"head": {"num_classes": 5}}})


@pytest.mark.parametrize(("resized", "size", "said"), [(False, 640, True), (False, 128, False), (True, 640, False)])
def test_training_at_another_size_than_testing_is_said(
    resized: bool, size: int, said: bool, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"images": [{"id": 1, "width": size, "height": 100}]}))
    resize = [dict(type="Resize", scale=(128, 128), keep_ratio=True)]
    train = dict(data_root=str(tmp_path), ann_file="a.json", pipeline=resize if resized else [dict(type="RandomFlip")])
    tell_native_size(train, dict(pipeline=resize))
    assert ("pictures of up to 640 pixels are trained at their own size" in capsys.readouterr().err) is said
