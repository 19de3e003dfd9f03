"""Lists for few labels, and checksum lists."""

import shutil
import subprocess
from pathlib import Path

import pytest

from mixedae.datasets.subset import draw_subset, take_names, write_subset
from mixedae.datasets.verify.checksums import check_or_write, parts_of
from mixedae.errors import ConfigError, DataError
from mixedae.files import ROOT
from tests.forked import run_forked

TOOL = ROOT / "tools" / "data.py"


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Three classes with 40, 10 and 1 empty files, made in a disorder."""
    for name, count in (("n03", 10), ("n01", 40), ("n02", 1)):
        for i in reversed(range(count)):
            path = tmp_path / "train" / name / f"{name}_{i}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return tmp_path


def test_a_share_of_every_class_with_its_label(folders: Path) -> None:
    lines = draw_subset(folders, 0.1)
    assert [line.split("/")[0] for line in lines] == ["n01"] * 4 + ["n02"] + ["n03"]
    assert [int(line.split()[1]) for line in lines] == [0, 0, 0, 0, 1, 2]
    assert all((folders / "train" / line.split()[0]).is_file() for line in lines) and len(set(lines)) == len(lines)
    assert draw_subset(folders, 1.0, seed=1) == draw_subset(folders, 1.0, seed=2)


def test_the_list_is_the_same_for_everybody(folders: Path) -> None:
    """Written down once: another order of files, machine or version of Python must give it too."""
    assert draw_subset(folders, 0.1) == [
        "n01/n01_16.JPEG 0", "n01/n01_17.JPEG 0", "n01/n01_4.JPEG 0", "n01/n01_9.JPEG 0",
        "n02/n02_0.JPEG 1", "n03/n03_7.JPEG 2",
    ]  # fmt: skip
    assert draw_subset(folders, 0.1, seed=1) != draw_subset(folders, 0.1)
    small, large = draw_subset(folders, 0.1), draw_subset(folders, 0.5)
    assert set(small) < set(large)


def test_somebody_elses_list(folders: Path) -> None:
    assert take_names(folders, ["n03_4.JPEG", "n01_7.JPEG\n", ""]) == ["n01/n01_7.JPEG 0", "n03/n03_4.JPEG 2"]
    with pytest.raises(DataError, match=r"n03_99\.JPEG of the list is not in \S+n03"):
        take_names(folders, ["n03_99.JPEG"])


def test_bad_input(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fraction 0 found"):
        draw_subset(folders, 0)
    with pytest.raises(DataError, match="does not exist"):
        draw_subset(tmp_path / "none", 0.1)


def test_mmpretrain_reads_the_list(folders: Path) -> None:
    from mmpretrain.datasets import CustomDataset

    path, count, digest = write_subset(folders, 0.1)
    assert path.name == "train_10percent.txt" and (count, len(digest)) == (6, 64)
    data = CustomDataset(data_root=str(folders), data_prefix="train", ann_file="meta/train_10percent.txt")
    assert [data.get_data_info(i)["gt_label"] for i in range(len(data))] == [0, 0, 0, 0, 1, 2]
    assert Path(data.get_data_info(0)["img_path"]).is_file()


def test_checksums_are_written_then_compared(tmp_path: Path, mini_data: Path) -> None:
    root = shutil.copytree(mini_data / "coco", tmp_path / "coco")
    file, parts = tmp_path / "list.sha256", ("val2017", "annotations")
    assert "written" in check_or_write(root, parts, file)
    assert "are as listed" in check_or_write(root, parts, file)
    done = subprocess.run(["sha256sum", "-c", "--quiet", str(file)], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    first, second = sorted((root / "val2017").glob("*.png"))[:2]
    first.write_bytes(first.read_bytes() + b"x")
    second.rename(second.with_name("new.png"))
    with pytest.raises(DataError, match=f"1 missing: val2017/{second.name}; 1 changed: val2017/{first.name}; 1 new"):
        check_or_write(root, parts, file)
    file.write_text("hello\n")
    with pytest.raises(DataError, match="is no list of checksums"):
        check_or_write(root, parts, file)


def test_the_command_holds_counts_against_a_card(mini_data: Path, tmp_path: Path) -> None:
    done = run_forked(TOOL, "verify", "coco", mini_data / "coco", "--card", "coco_cascade")
    assert done.returncode == 1 and "train2017: " in done.stderr
    assert "118287 expected" in done.stderr


def test_checksums_of_a_small_set_are_of_its_whole_folder(tmp_path: Path) -> None:
    """Lists and pictures lie anywhere in it; the checksums' own file in the same folder is not one of them."""
    for name in ("annotations/trainval.txt", "images/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    listed = tmp_path / "pets.sha256"
    folders = parts_of("pets", ["trainval", "test"])
    assert check_or_write(tmp_path, folders, listed).endswith("checksums of 2 files written")
    assert check_or_write(tmp_path, folders, listed).endswith("2 files are as listed")
    (tmp_path / "images/a.jpg").write_text("changed")
    with pytest.raises(DataError, match=r"1 changed: images/a\.jpg"):
        check_or_write(tmp_path, folders, listed)
