"""A dataset that is missing, incomplete, damaged or inconsistent is refused with the name of the file."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mixedae.datasets.mini.write import CLASSES, COUNTS
from mixedae.datasets.verify import layouts as verify
from mixedae.datasets.verify.layouts import check_layout, verify_folder
from mixedae.errors import ConfigError, DataError

KINDS = ("imagenet", "ade20k", "coco")


@pytest.fixture
def data(mini_data, tmp_path):
    """A copy of the mini benchmark to damage."""
    return shutil.copytree(mini_data, tmp_path / "mini")


def edit_json(root, change):
    """Change the COCO file of the validation split in place."""
    file = root / "coco" / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("kind", KINDS)
def test_the_mini_benchmark_passes(mini_data, kind):
    check_layout(kind, mini_data / kind)
    for row in verify_folder(kind, mini_data / kind):
        assert row.images == COUNTS["test"][f"{kind}/{row.split}"]
        assert min(row.counts.values()) > 0
        assert len(row.counts) == (11 if kind == "ade20k" else 10)


def test_counts_by_class(mini_data):
    rows = {row.split: row for row in verify_folder("imagenet", mini_data / "imagenet")}
    assert list(rows) == ["train", "val", "pretrain"]
    assert rows["train"].counts == dict.fromkeys(sorted(CLASSES), 3)
    (row,) = verify_folder("coco", mini_data / "coco", splits=["val2017"])
    annotations = json.loads((mini_data / "coco/annotations/instances_val2017.json").read_text())["annotations"]
    assert row.counts == {
        name: sum(a["category_id"] == k for a in annotations) for k, name in enumerate(CLASSES, start=1)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_folder_is_refused(tmp_path, kind):
    with pytest.raises(DataError, match="is no folder; expected"):
        check_layout(kind, tmp_path / "none")
    with pytest.raises(DataError, match="does not exist; expected <root>"):
        check_layout(kind, tmp_path)


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="`voc` is unknown; expected one of imagenet, ade20k, coco"):
        check_layout("voc", tmp_path)


@pytest.mark.parametrize(
    "gone",
    [
        "imagenet/train",
        "imagenet/val",
        "ade20k/images/training",
        "ade20k/images/validation",
        "ade20k/annotations/training",
        "ade20k/annotations/validation",
        "coco/train2017",
        "coco/val2017",
        "coco/annotations",
    ],
)
@pytest.mark.parametrize("how", ["missing", "empty"])
def test_a_missing_or_empty_split_is_refused(data, gone, how):
    shutil.rmtree(data / gone)
    if how == "empty":
        (data / gone).mkdir()
    kind = gone.split("/")[0]
    with pytest.raises(DataError, match=str(data / gone)) as raised:
        check_layout(kind, data / kind)
    assert "expected <root>" in str(raised.value)


def test_an_empty_class_and_differing_classes_are_refused(data):
    for file in (data / "imagenet" / "train" / CLASSES[4]).iterdir():
        file.unlink()
    with pytest.raises(DataError, match=rf"1 of 10 classes in \S+train are empty \({CLASSES[4]}\)"):
        check_layout("imagenet", data / "imagenet")
    (data / "imagenet" / "train" / CLASSES[4]).rmdir()
    with pytest.raises(DataError, match=f"train has 9 classes and val has 10.*{CLASSES[4]}"):
        check_layout("imagenet", data / "imagenet")


def test_a_flat_validation_folder_is_explained(data):
    """ImageNet's own validation archive has no class folders: the most frequent mistake."""
    val = data / "imagenet" / "val"
    for file in list(val.rglob("*.png")):
        file.rename(val / file.name)
    for name in CLASSES:
        (val / name).rmdir()
    with pytest.raises(DataError, match=r"no class folders \(20 pictures lie in it\)"):
        check_layout("imagenet", data / "imagenet")


def test_the_layout_is_checked_without_decoding(data, monkeypatch):
    monkeypatch.setattr(verify, "decoded", lambda path: pytest.fail("decoded"))
    for kind in KINDS:
        check_layout(kind, data / kind)


@pytest.mark.parametrize("share", [0, 30, 90, 99])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_truncated_picture_is_refused(data, suffix, share):
    folder = data / "imagenet" / "train" / CLASSES[0]
    source = next(folder.glob("*.png"))
    file = folder / f"cut.{suffix}"
    Image.open(source).save(file)
    verify_folder("imagenet", data / "imagenet", splits=["train"])
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * share // 100])
    check_layout("imagenet", data / "imagenet")
    with pytest.raises(DataError, match=f"{file.name} cannot be decoded"):
        verify_folder("imagenet", data / "imagenet", splits=["train"])


def test_a_text_file_with_a_picture_s_name_is_refused(data):
    (data / "coco" / "val2017" / "000000000001.png").write_text("<html>404</html>")
    with pytest.raises(DataError, match=r"000000000001\.png cannot be decoded"):
        verify_folder("coco", data / "coco")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: np.full_like(m, 12), "has the value 12; expected 0 .* to 11"),
        (lambda m: np.where(m == 0, 255, m).astype(np.uint8), "has the value 255"),
        (lambda m: m[:-1], "is 128 x 127, its picture 128 x 128"),
        (lambda m: np.stack([m] * 3, axis=-1), "has mode RGB"),
    ],
)
def test_a_wrong_mask_is_refused(data, change, message):
    file = data / "ade20k" / "annotations" / "validation" / "00002.png"
    Image.fromarray(change(np.asarray(Image.open(file)))).save(file)
    with pytest.raises(DataError, match=f"00002.png {message}"):
        verify_folder("ade20k", data / "ade20k")


def test_a_picture_without_mask_or_the_reverse_is_refused(data):
    (data / "ade20k" / "annotations" / "training" / "00003.png").unlink()
    with pytest.raises(
        DataError, match=r"1 of 10 pictures in \S+images/training have no mask in \S+ \(such as 00003\)"
    ):
        verify_folder("ade20k", data / "ade20k")
    (data / "ade20k" / "images" / "training" / "00003.png").unlink()
    (data / "ade20k" / "images" / "training" / "00004.png").unlink()
    with pytest.raises(DataError, match=r"annotations/training/00004\.png has no picture"):
        verify_folder("ade20k", data / "ade20k")


def test_the_number_of_classes_can_be_given(mini_data):
    with pytest.raises(DataError, match=r"expected 0 .* to 5"):
        verify_folder("ade20k", mini_data / "ade20k", num_classes=5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"][1].update(id=c["annotations"][0]["id"]), "id 1 occurs twice in `annotations`"),
        (lambda c: c["images"][1].update(id=c["images"][0]["id"]), "id 1 occurs twice in `images`"),
        (lambda c: c["categories"][1].update(id=1), "id 1 occurs twice in `categories`"),
        (lambda c: c["images"][3].update(file_name="gone.png"), "gone.png, which does not exist"),
        (lambda c: c["images"][3].update(width=127), "said to be 127 x 128 pixels, the file has 128 x 128"),
        (lambda c: c["annotations"][0].update(image_id=99), "belongs to image 99"),
        (lambda c: c["annotations"][0].update(category_id=0), "is of category 0"),
        (lambda c: c["annotations"][0].update(bbox=[100, 100, 40, 5]), "which leaves its image"),
        (lambda c: c["annotations"][0].update(bbox=[-5, 0, 40, 5]), "which leaves its image"),
        (lambda c: c["annotations"][0].update(bbox=[1, 1, 0, 5]), "positive area"),
        (lambda c: c["annotations"][0].pop("bbox"), "no `bbox`"),
        (lambda c: c["annotations"][0]["segmentation"].update(size=[64, 128]), "mask of size"),
        (lambda c: c["annotations"][0]["segmentation"]["counts"].append(3), "runs add up to 16387; expected 16384"),
        (lambda c: c["annotations"][0].update(segmentation=[[1, 2, 3, 4]]), "fewer than three points"),
        (lambda c: c["annotations"].clear(), "has no annotations"),
        (lambda c: c.pop("categories"), "not a COCO instances file: KeyError 'categories'"),
    ],
)
def test_an_inconsistent_json_is_refused(data, change, message):
    edit_json(data, change)
    with pytest.raises(DataError, match=message):
        verify_folder("coco", data / "coco", splits=["val2017"])


def test_a_truncated_json_is_refused(data):
    file = data / "coco" / "annotations" / "instances_train2017.json"
    file.write_text(file.read_text()[:-100])
    with pytest.raises(DataError, match=r"instances_train2017\.json is not a COCO instances file"):
        verify_folder("coco", data / "coco")


def test_real_photographs_pass(sample_data, tmp_path):
    rows = verify_folder("ade20k", sample_data / "camvid", splits=["validation"])
    assert rows[0].images == 101 and len(rows[0].counts) == 11 and min(rows[0].counts.values()) > 0
    assert verify_folder("ade20k", sample_data / "ade20k_sample", splits=["validation"])[0].images == 3
    with pytest.raises(DataError, match="training does not exist"):
        check_layout("ade20k", sample_data / "ade20k_sample")
    with pytest.raises(DataError, match=r"has the value 11; expected 0 .* to 10"):
        verify_folder("ade20k", sample_data / "camvid", num_classes=10, splits=["validation"])

    (row,) = verify_folder("coco", sample_data / "coco_tiny", splits=["train2017"])
    assert (row.images, sum(row.counts.values()), len(row.counts)) == (150, 1216, 80)

    check_layout("imagenet", sample_data / "tiny_imagenet100")
    for split in ("train", "val"):
        for source in sorted((sample_data / "tiny_imagenet100" / split).iterdir())[:4]:
            shutil.copytree(source, tmp_path / "four" / split / source.name)
    rows = verify_folder("imagenet", tmp_path / "four")
    assert [(row.images, set(row.counts.values())) for row in rows] == [(880, {220}), (120, {30})]
