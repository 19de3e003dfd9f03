"""Every folder of mm_configs says which file to copy, and every file that it names exists."""

import re
from pathlib import Path

import pytest

from mixedae.files import ROOT

from .recipe import CONFIGS

DESCRIBED_ABOVE = {"_base_/models", "_base_/datasets", "_base_/schedules", "benchmark/suites", "benchmark/tasks"}
FOLDERS = sorted(
    {path.parent for path in CONFIGS.rglob("*") if path.suffix in (".py", ".yaml")} | {CONFIGS, CONFIGS / "mini"}
)
FILE = re.compile(r"[\w./-]+(?:\.(?:py|yaml|md|json)|/)")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(CONFIGS)))
def test_a_folder_says_which_file_to_copy_and_how_names_are_made(folder: Path) -> None:
    if str(folder.relative_to(CONFIGS)) in DESCRIBED_ABOVE:
        assert f"`{folder.name}/`" in (folder.parent / "README.md").read_text()
        return
    text = (folder / "README.md").read_text()
    assert len(text.splitlines()) <= 25
    assert re.search(r"\b(C|c)opy\b", text) and "Names" in text


@pytest.mark.parametrize("readme", sorted(CONFIGS.rglob("README.md")), ids=lambda path: str(path.relative_to(CONFIGS)))
def test_the_files_that_it_names_exist(readme: Path) -> None:
    text = readme.read_text()
    spans = [span for span in re.findall(r"`([^`]+)`", text) if FILE.fullmatch(span)]
    named = [span for span in spans if not re.search(r"[A-Z]{3}", span)]  # PATCH stands for a number
    assert named
    for span in named:
        places = (readme.parent / span, ROOT / span)
        assert any(place.exists() for place in places), span
    for path in re.findall(r"(?:docs|tests|tools)/[\w/.]+\.\w+", text):
        assert (ROOT / path).is_file(), path


def test_every_transfer_leaf_is_named() -> None:
    """Pre-training's are named by pattern: method, size and length."""
    for folder in (
        "classification",
        "segmentation",
        "detection",
        "mini/classification",
        "mini/segmentation",
        "mini/detection",
    ):
        text = (CONFIGS / folder / "README.md").read_text()
        for path in (CONFIGS / folder).glob("*.py"):
            assert f"`{path.name}`" in text, path
