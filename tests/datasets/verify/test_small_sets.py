"""The eleven small sets in their true layouts: what a whole one holds, and each way of not being whole by name."""

import numpy as np
import pytest
from mmengine.config import Config
from mmpretrain.datasets import CIFAR10
from mmpretrain.registry import DATASETS
from PIL import Image
from scipy.io import loadmat, savemat

from mixedae.datasets.verify.small_sets import SMALL, verify_leaf, verify_small_set
from mixedae.errors import ConfigError, DataError
from tests.datasets.small_sets import LEAF_OF, WRITERS


@pytest.fixture(autouse=True)
def fixtures_are_not_the_archives(monkeypatch):
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)


def write(name, root, count=3):
    """A set with its first classes, and its leaf's dataset with the fixture's numbers."""
    config = Config.fromfile(SMALL / f"{name}.py").train_dataloader.dataset.to_dict()
    reader = DATASETS.get(config["dataset"]["type"])
    names = list(reader.METAINFO.get("classes") or [f"class {i}" for i in range(count)])[:count]
    each = WRITERS[name](root, names)
    own = config.get("splits", {}).get("trainval", "trainval")
    each = {"trainval" if part == own else part: number for part, number in each.items()}
    expected = {"classes": len(names), **{part: len(names) * number for part, number in each.items()}}
    if name != "voc2007":
        config["dataset"]["metainfo"] = {"classes": names}  # its reader looks names up in the whole list
    else:
        expected["classes"] = 0
    unlisted = config["expected"].get("unlisted", False)
    return {**config, "expected": {**expected, "unlisted": unlisted}}, each, names


@pytest.mark.parametrize("name", [name for name in LEAF_OF if name != "voc2007"])
def test_a_whole_set_passes(name, tmp_path):
    config, each, names = write(name, tmp_path)
    rows = {row.split: row for row in verify_small_set(config, tmp_path)}
    assert list(rows) == ["trainval", "train", "val", "test"]
    for part, number in each.items():
        assert rows[part].images == number * len(names)
        assert list(rows[part].counts.values()) == [number] * len(names)
    assert rows["train"].images + rows["val"].images == rows["trainval"].images


def test_voc_passes(tmp_path):
    """All twenty classes: every picture also shows a difficult object, which is no label."""
    config, each, _ = write("voc2007", tmp_path, count=20)
    config["expected"]["classes"] = 20
    for row in verify_small_set(config, tmp_path):
        assert list(row.counts.values()) == [each[row.split]] * 20


@pytest.mark.parametrize("name", [name for name in LEAF_OF if not name.startswith("cifar")])
def test_other_counts_than_the_leafs_are_refused_with_the_difference(name, tmp_path):
    """The leaf as it is: its set has more pictures than the fixture."""
    write(name, tmp_path, count=20 if name == "voc2007" else 3)
    leaf = Config.fromfile(SMALL / f"{name}.py").pictures.expected
    with pytest.raises(DataError, match=rf"trainval: \d+ pictures, {leaf.trainval} expected \(-\d+\)"):
        verify_leaf(name, tmp_path)


def first_picture(root):
    return min(path for path in root.rglob("*.jpg"))


@pytest.mark.parametrize("name", ["aircraft", "caltech101", "flowers", "pets"])
def test_damage_is_named(name, tmp_path):
    config, _, _ = write(name, tmp_path)
    file = first_picture(tmp_path)
    content = file.read_bytes()

    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=f"{file.name} cannot be decoded"):
        verify_small_set(config, tmp_path)

    file.unlink()
    with pytest.raises(DataError, match=f"1 of .* pictures have a label and no file, such as .*{file.name}"):
        verify_small_set(config, tmp_path)
    file.write_bytes(content)

    extra = file.with_name("extra.jpg")
    extra.write_bytes(content)
    if config["expected"]["unlisted"]:
        verify_small_set(config, tmp_path)
    else:
        with pytest.raises(DataError, match=r"1 pictures are in no list and have no label, such as .*extra\.jpg"):
            verify_small_set(config, tmp_path)


def test_a_picture_in_two_parts_or_twice_is_named(tmp_path):
    config, _, _ = write("food", tmp_path)
    train, test = tmp_path / "meta" / "train.txt", tmp_path / "meta" / "test.txt"
    names, others = train.read_text().split(), test.read_text().split()
    train.write_text("\n".join([*names[:-1], others[0]]))
    with pytest.raises(DataError, match=r"1 pictures are in trainval and in test, such as .*test0"):
        verify_small_set({**config, "expected": None}, tmp_path)
    train.write_text("\n".join([*names[:-1], names[0]]))
    with pytest.raises(DataError, match=r"1 pictures are named more than once, such as .*train0"):
        verify_small_set({**config, "expected": None}, tmp_path)


def test_a_class_without_a_validation_picture_is_named(tmp_path):
    config, _, _ = write("flowers", tmp_path)
    file = tmp_path / "setid.mat"
    ids = {key: value for key, value in loadmat(file).items() if not key.startswith("__")}
    ids["trnid"] = np.concatenate((ids["trnid"], ids["valid"][:, -5:]), axis=1)  # the last class's
    ids["valid"] = ids["valid"][:, :-5]
    savemat(file, ids)
    with pytest.raises(DataError, match="val: 10 pictures, 15 expected"):
        verify_small_set({**config, "expected": {**config["expected"], "train": 20}}, tmp_path)
    with pytest.raises(DataError, match="val: 1 of 3 classes have no picture, such as class 2"):
        verify_small_set({**config, "expected": {"classes": 3}}, tmp_path)
    with pytest.raises(DataError, match="val: class class 2 has no picture"):
        verify_small_set({**config, "expected": None}, tmp_path)


def test_lists_that_cannot_be_read_are_named(tmp_path):
    config, _, _ = write("pets", tmp_path)
    (tmp_path / "annotations" / "test.txt").unlink()
    with pytest.raises(DataError, match="test: OxfordIIITPet cannot read its lists"):
        verify_small_set(config, tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        verify_small_set(config, tmp_path / "none")


def test_a_grey_picture_is_a_picture(tmp_path):
    config, _, _ = write("dtd", tmp_path)
    Image.new("L", (8, 8)).save(first_picture(tmp_path))
    verify_small_set(config, tmp_path)


def test_an_unknown_set_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"`birds` is no dataset known here; expected .*aircraft, .*voc2007"):
        verify_leaf("birds", tmp_path)
