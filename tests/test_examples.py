"""The examples do what their README says."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixedae.datasets.own_sets import segmentation
from mixedae.files import ROOT
from tests.forked import run_forked

EXAMPLES = ROOT / "examples"


def test_the_method_of_the_page_is_the_examples() -> None:
    blocks = re.findall(r"```python\n# (\w+\.py)[^\n]*\n(.*?)```", (ROOT / "docs/methods.md").read_text(), re.DOTALL)
    for name, text in blocks:
        example = (EXAMPLES / "outside" / name).read_text().split('"""', 2)[2].strip()
        assert example.replace("../../mm_configs/", "mm_configs/") == text.strip(), name


def test_the_outside_suite_is_valid(mini_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own method, config, card and recipe, none inside this package; only the numbers of pictures differ."""
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES / "outside"))
    monkeypatch.setattr(sys, "path", [str(EXAMPLES / "outside"), *sys.path])
    suite = EXAMPLES / "outside/suites/mine.yaml"
    done = run_forked("tools/bench.py", "validate", suite, "--data", f"mini={mini_data}")
    said = done.stdout + done.stderr
    problems = [line for line in said.splitlines() if line.startswith("error") and "pictures" not in line]
    assert not problems and "Traceback" not in said, said


def test_coloured_masks_become_a_set_of_ones_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 3, (4, 24, 20))
    palette = np.array([[0, 0, 0], [128, 64, 128], [7, 8, 9]], dtype=np.uint8)
    (tmp_path / "colours.txt").write_text("0 0 0 ground\n128 64 128 road\n")
    for index, mask in enumerate(values):
        part = "train" if index < 3 else "val"
        for folder in ("coloured", "images"):
            (tmp_path / folder / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(palette[mask]).save(tmp_path / "coloured" / part / f"{index}.png")
        Image.fromarray(rng.integers(0, 255, (24, 20, 3), dtype=np.uint8)).save(
            tmp_path / "images" / part / f"{index}.png"
        )
    for part in ("train", "val"):
        command = [sys.executable, EXAMPLES / "rgb_masks.py", tmp_path / "coloured" / part]
        command += [tmp_path / "annotations" / part, "--colours", tmp_path / "colours.txt"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("1 masks, 2 classes, ")
    for index, mask in enumerate(values):
        found = np.asarray(Image.open(tmp_path / "annotations" / ("train" if index < 3 else "val") / f"{index}.png"))
        np.testing.assert_array_equal(found, np.where(mask == 2, 255, mask))
    (tmp_path / "annotations/train/classes.txt").rename(tmp_path / "classes.txt")
    (tmp_path / "annotations/val/classes.txt").unlink()
    assert tuple(segmentation(tmp_path)["classes"]) == ("ground", "road")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0 0 300 ground\n", "line 1: '0 0 300 ground' found; expected R G B NAME"),
        ("0 0 0 a\n0 0 0 b\n", "line 2: the colour (0, 0, 0) stands there twice"),
        ("0 0 0 a\n", "1 colours found; expected 2 to 255"),
    ],
)
def test_bad_lists_of_colours_are_told(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "colours.txt").write_text(text)
    command = [
        sys.executable,
        EXAMPLES / "rgb_masks.py",
        tmp_path,
        tmp_path / "out",
        "--colours",
        tmp_path / "colours.txt",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode and told in done.stderr and not (tmp_path / "out").exists()
