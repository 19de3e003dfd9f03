"""The parts of a small set: nothing in two of them, and refused where its numbers differ from what is expected."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.registry import DATASETS

import mixedae.registry  # noqa: F401
from mixedae.datasets.small_set import check_counts
from mixedae.errors import ConfigError, DataError

PIPELINE = [dict(type="LoadImageFromFile"), dict(type="PackInputs")]


@pytest.fixture
def small(mini_data):
    """The mini benchmark's folders as a small set: 10 classes, 3 training and 2 test pictures each."""
    config = dict(
        type="mixedae.SmallSet",
        dataset=dict(type="CustomDataset", data_root=str(mini_data / "imagenet")),
        splits=dict(trainval=dict(data_prefix="train"), test=dict(data_prefix="val")),
        pipeline=PIPELINE,
    )
    return lambda part, **changes: DATASETS.build({**config, "part": part, "_scope_": "mmpretrain", **changes})


def paths(dataset):
    return [dataset.get_data_info(i)["img_path"] for i in range(len(dataset))]


def test_parts_of_a_set_without_validation(small):
    parts = {part: small(part) for part in ("trainval", "train", "val", "test")}
    assert {part: len(d) for part, d in parts.items()} == {"trainval": 30, "train": 20, "val": 10, "test": 20}
    assert sorted(paths(parts["train"]) + paths(parts["val"])) == sorted(paths(parts["trainval"]))
    assert not set(paths(parts["test"])) & set(paths(parts["trainval"]))
    assert sorted(label for i in range(10) for label in parts["val"].get_cat_ids(i)) == list(range(10))
    assert parts["val"].metainfo["classes"] == parts["trainval"].metainfo["classes"]
    assert parts["train"][0]["inputs"].shape[0] == 3
    everything = paths(parts["trainval"])
    assert [[everything[i] for i in side] for side in parts["trainval"].held_out()] == [
        paths(parts["train"]),
        paths(parts["val"]),
    ]
    assert len(small("val", indices=4)) == 4


def test_expected_numbers_pass(small):
    expected = dict(classes=10, trainval=30, test=20, each=dict(trainval=3, test=2))
    for part in ("trainval", "train", "val", "test"):
        small(part, expected=expected)


@pytest.mark.parametrize("part", ["trainval", "train", "val"])
@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (dict(trainval=33), r"trainval: 30 pictures, 33 expected \(-3\)"),
        (dict(trainval=29), r"30 pictures, 29 expected \(\+1\)"),
        (dict(classes=11), "1 of 11 classes have no picture, such as class 10"),
        (dict(classes=9), r"class 9 found, 9 classes expected \(0 to 8\)"),
        (dict(each=dict(trainval=4)), r"10 classes have another number of pictures than 4, such as class 0: 3 \(-1\)"),
    ],
)
def test_other_numbers_are_refused_with_the_difference(small, part, expected, message):
    with pytest.raises(DataError, match=message):
        small(part, expected=expected)


def test_wrong_arguments_are_named(small):
    with pytest.raises(ConfigError, match="part='validation'"):
        small("validation")
    with pytest.raises(ConfigError, match="splits has trainval, train, test"):
        small("train", splits=dict(trainval="a", train="b", test="c"))
    with pytest.raises(ConfigError, match="unknown key 'pictures'"):
        small("test", expected=dict(pictures=3))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_counts_are_those_of_the_labels(labels):
    infos = [{"gt_label": label} for label in labels]
    counts = check_counts(infos, {"test": len(labels)}, "test", "set")
    assert dict(counts) == {label: labels.count(label) for label in set(labels)}
    with pytest.raises(DataError, match=r"\(\+1\)"):
        check_counts(infos, {"test": len(labels) - 1}, "test", "set")
