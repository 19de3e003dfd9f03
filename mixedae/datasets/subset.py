"""Fixed lists of labelled pictures for learning from few labels: the same for everybody, without a download.

The usual lists are SimCLR's (arXiv 2002.05709, section 4; google-research/simclr ``imagenet_subsets``), which are not
shipped here; a copy of theirs can be turned into the same file.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from mixedae.datasets.listing import PICTURE_SUFFIXES, subfolders
from mixedae.errors import ConfigError, DataError
from mixedae.files import replacing


def draw_subset(root: Path, fraction: float, seed: int = 0, split: str = "train") -> list[str]:
    """A share of each class's pictures, by the order of a hash of their names: no generator, no order of files.

    Args:
        root: folder of an ImageNet-like dataset, ``<root>/<split>/<class>/<picture>``.
        fraction: share of each class, rounded, at least one picture.
        seed: another one, another list.
        split: folder of the pictures.

    Returns:
        Lines ``<class>/<picture> <label>``, which mmpretrain's datasets read as ``ann_file``; sorted.

    Raises:
        ConfigError: a fraction that is not in (0, 1].
        DataError: no classes, or a class without pictures.
    """
    if not 0 < fraction <= 1:
        raise ConfigError(f"fraction {fraction} found; expected 0 < fraction <= 1")
    lines = []
    for label, (name, pictures) in enumerate(_classes(root / split).items()):
        count = max(1, round(fraction * len(pictures)))
        rank = {p: hashlib.sha256(f"{seed}/{name}/{p}".encode()).hexdigest() for p in pictures}
        ranked = sorted(pictures, key=rank.__getitem__)
        lines += [f"{name}/{picture} {label}" for picture in sorted(ranked[:count])]
    return lines


def take_names(root: Path, names: Sequence[str], split: str = "train") -> list[str]:
    """The same lines for a list of bare file names, as SimCLR's.

    Args:
        root: as in :func:`draw_subset`.
        names: such as ``n01440764_10043.JPEG``; the class is what stands before the underscore.
        split: folder of the pictures.

    Returns:
        As :func:`draw_subset`.

    Raises:
        DataError: a picture that is not there.
    """
    classes = _classes(root / split)
    labels = {name: label for label, name in enumerate(classes)}
    there = {name: set(pictures) for name, pictures in classes.items()}
    lines = []
    for picture in sorted({name.strip() for name in names if name.strip()}):
        owner = picture.split("_")[0]
        if picture not in there.get(owner, ()):
            raise DataError(f"{picture} of the list is not in {root / split / owner}; is this the list's dataset?")
        lines.append(f"{owner}/{picture} {labels[owner]}")
    return lines


def write_subset(root: Path, fraction: float, seed: int = 0, names: Path | None = None) -> tuple[Path, int, str]:
    """Write ``<root>/meta/train_<percent>percent.txt``, whole or not at all.

    Args:
        root: the dataset's folder.
        fraction: see :func:`draw_subset`; names the file.
        seed: see there.
        names: take the file names in this file instead, see :func:`take_names`.

    Returns:
        The file, its number of pictures and the SHA-256 of its content.
    """
    lines = take_names(root, names.read_text().split()) if names else draw_subset(root, fraction, seed)
    path = root / "meta" / f"train_{100 * fraction:g}percent.txt"
    path.parent.mkdir(exist_ok=True)
    content = ("\n".join(lines) + "\n").encode()
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path, len(lines), hashlib.sha256(content).hexdigest()


def _classes(folder: Path) -> dict[str, list[str]]:
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist; expected folders of classes in it")
    names = subfolders(folder)
    classes = {
        name: sorted(p.name for p in os.scandir(folder / name) if p.name.lower().endswith(PICTURE_SUFFIXES))
        for name in names
    }
    if not classes or (empty := [name for name, pictures in classes.items() if not pictures]):
        raise DataError(f"{folder} has {len(classes)} classes" + (f", {empty[0]} is empty" if classes else ""))
    return classes
