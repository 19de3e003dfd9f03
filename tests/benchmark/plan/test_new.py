"""Cards and suites to start from: they load as they are, count the pictures, and never replace a file."""

import json
from pathlib import Path

import pytest
from PIL import Image

from mixedae.benchmark.plan.cards import load_card
from mixedae.benchmark.plan.new import TASKS, new_card, new_suite
from mixedae.benchmark.plan.suites import load_suite
from mixedae.errors import ConfigError, DataError


def own_set(root: Path, task: str) -> Path:
    """3 training and 2 validation pictures."""
    names = {"classification": ("train/a", "train/b", "val/a"), "detection": ("train", "val")}
    for folder in names.get(task, ("images/train", "images/val", "annotations/train", "annotations/val")):
        (root / folder).mkdir(parents=True)
    count = {"train/a": 2, "train/b": 1, "val/a": 2}
    for folder in [path for path in root.rglob("*") if path.is_dir() and not any(path.iterdir())]:
        name = folder.relative_to(root).as_posix()
        for i in range(count.get(name, 3 if "train" in name else 2)):
            suffix = ".png" if name.startswith("annotations") else ".jpg"
            Image.new("L", (8, 8), i % 2).save(folder / f"{i}{suffix}")
    if task == "detection":
        (root / "annotations").mkdir()
        Image.new("L", (8, 8)).save(root / "val" / "not_listed.jpg")
        for split, number in (("train", 3), ("val", 2)):
            content = dict(images=[dict(id=i) for i in range(number)], categories=[dict(id=1, name="x")])
            (root / "annotations" / f"{split}.json").write_text(json.dumps(content))
    return root


@pytest.mark.parametrize("task", TASKS)
def test_a_card_and_a_suite_for_it(task: str, tmp_path: Path) -> None:
    data = own_set(tmp_path / "data", task)
    path = new_card("birds", task, data, tmp_path / "benchmark")
    card = load_card(path)
    assert card.splits == {"train": 3, "val": 2} and card.evaluated_on == "val" and card.version == 1
    assert card.recipe == f"mm_configs/own/{task}.py" and card.data.name == f"own_{task}"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) < 10
    suite_path = new_suite("mine", ("birds",), tmp_path / "a.pth", tmp_path / "benchmark")
    suite = load_suite(suite_path)
    assert suite.pretrainings["mine"].checkpoint == str(tmp_path / "a.pth") and list(suite.cards) == ["birds"]
    assert len([line for line in suite_path.read_text().splitlines() if not line.startswith("#")]) < 10
    before = path.read_text()
    with pytest.raises(ConfigError, match="exists already"):
        new_card("birds", task, data, tmp_path / "benchmark")
    assert path.read_text() == before


def test_nothing_is_left_of_what_is_refused(tmp_path: Path) -> None:
    data = own_set(tmp_path / "data", "classification")
    with pytest.raises(ConfigError):
        new_card("No Name", "classification", data, tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        new_suite("mine", ("absent",), None, tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        new_card("birds", "classification", tmp_path / "none", tmp_path)
    assert not list(tmp_path.rglob("*.yaml"))
