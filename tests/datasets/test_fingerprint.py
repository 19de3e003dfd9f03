"""The fingerprint of a dataset changes with its content and with nothing else."""

import os
import shutil
import time

import pytest

from mixedae.datasets.fingerprint import dataset_fingerprint
from mixedae.datasets.listing import files_under
from mixedae.errors import DataError


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "one"
    for name, content in (("train/a/1.png", b"one"), ("train/b/2.png", b"two"), ("val/a/1.png", b"three")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_it_does_not_depend_on_place_time_or_order(folder, tmp_path):
    first = dataset_fingerprint([folder])
    copy = tmp_path / "elsewhere" / "two"
    for part in ("val", "train"):  # another order of creation, so of listing
        shutil.copytree(folder / part, copy / part)
    os.utime(copy / "val" / "a" / "1.png", (time.time() - 10**6,) * 2)
    assert dataset_fingerprint([copy]) == first and len(first) == 64
    parts = [dataset_fingerprint([root / "val", root / "train"]) for root in (folder, copy)]
    assert parts[0] == parts[1] == dataset_fingerprint([folder / "train", folder / "val"]) == first
    assert dataset_fingerprint([folder, folder / "train"]) == first, "a file given twice counts once"


def test_a_relative_path_gives_the_same(folder, monkeypatch):
    first = dataset_fingerprint([folder])
    monkeypatch.chdir(folder.parent)
    assert dataset_fingerprint([type(folder)("one")]) == first


@pytest.mark.parametrize("change", ["byte", "same size and time", "name", "more", "less", "swap", "boundary"])
def test_it_changes_with_the_content(folder, change):
    first = dataset_fingerprint([folder])
    file = folder / "train" / "a" / "1.png"
    if change == "byte":
        file.write_bytes(b"onf")
    elif change == "same size and time":
        stat = file.stat()
        file.write_bytes(b"eno")
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif change == "name":
        file.rename(file.with_name("3.png"))
    elif change == "more":
        (folder / "val" / "empty.png").write_bytes(b"")
    elif change == "less":
        file.unlink()
    elif change == "swap":
        other = folder / "val" / "a" / "1.png"
        content = file.read_bytes()
        file.write_bytes(other.read_bytes())
        other.write_bytes(content)
    else:  # a byte moves from one file to the next
        file.write_bytes(b"on")
        (folder / "train" / "b" / "2.png").write_bytes(b"etwo")
    assert dataset_fingerprint([folder]) != first


def test_a_single_file_and_hidden_files(folder):
    assert dataset_fingerprint([folder / "val" / "a" / "1.png"]) != dataset_fingerprint(
        [folder / "train" / "a" / "1.png"]
    )
    first = dataset_fingerprint([folder])
    (folder / ".DS_Store").write_bytes(b"x")
    assert dataset_fingerprint([folder]) == first


def test_links_are_followed_and_bad_ones_refused(folder, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for part in ("train", "val"):
        (linked / part).symlink_to(folder / part)
    assert dataset_fingerprint([linked]) == dataset_fingerprint([folder])
    assert [p.name for p in files_under(linked)] == ["1.png", "2.png", "1.png"]
    (linked / "loop").symlink_to(linked)
    with pytest.raises(DataError, match="contains it"):
        dataset_fingerprint([linked])
    (linked / "loop").unlink()
    (linked / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="leads nowhere"):
        dataset_fingerprint([linked])


def test_nothing_to_hash_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        dataset_fingerprint([tmp_path / "none"])
    with pytest.raises(DataError, match="no files"):
        dataset_fingerprint([tmp_path])
    with pytest.raises(DataError, match="no path"):
        dataset_fingerprint([])
