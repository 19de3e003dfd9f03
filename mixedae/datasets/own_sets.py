"""Classes of a labelled set of one's own, read from its folder when a config of ``mm_configs/own`` is read. No torch.

A folder that is not there gives no classes, so that a config can be looked at without its data; the check before
training then says what is missing.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixedae.datasets.listing import OWN_SUFFIXES, pictures_under, subfolders
from mixedae.datasets.verify.decoding import decoded
from mixedae.errors import DataError

IGNORED = 255
PARTS = {"train": ("train", "training", "train2017"), "val": ("val", "validation", "valid", "val2017")}
"""Names that a part of a set goes by, the first that is there is taken."""
MASKS = ("annotations", "masks")
LOOKED_AT = 5000
"""Masks that are read to find their values, at most; a larger set has a classes.txt."""
NOTHING_YET = ("none",)  # without data a model needs a class to be built


def part(root: str | Path, name: str) -> str:
    """The folder of a part of a set, below its root.

    Args:
        root: a folder.
        name: ``train`` or ``val``.
    """
    return next((each for each in PARTS[name] if (Path(root) / each).is_dir()), PARTS[name][0])


def class_folders(root: str | Path) -> tuple[str, ...]:
    """Names of the classes of pictures in folders, ``ROOT/train/<class>/``, in the order of their labels.

    Args:
        root: the set's folder.

    Raises:
        DataError: one class, or none.
    """
    folder = Path(root) / part(root, "train")
    if not Path(root).is_dir():
        return NOTHING_YET
    names = subfolders(folder) if folder.is_dir() else []
    if len(names) < 2:
        raise DataError(
            f"{folder} has {len(names)} class folders; expected two or more, {root}/{{train,val}}/<class>/<picture>: "
            "with one class there is nothing to tell apart"
        )
    return tuple(names)


def segmentation(root: str | Path) -> dict[str, Any]:
    """What mmseg needs to know of a set of pictures and masks.

    ``ROOT/images/{train,val}`` and ``ROOT/annotations/{train,val}`` hold pictures and one-channel masks of the same
    names; ``training`` and ``validation``, and ``masks``, are names that are known too. Classes are those of
    ``ROOT/classes.txt``, whose lines are a mask value and a name, or else the values in the masks. A value 0 that is
    not listed, or whose name has ``(ignore)`` in it, is ignored; so is 255.

    Args:
        root: the set's folder.

    Returns:
        ``classes``, ``palette`` (of the masks' own colours, or empty), ``zero_is_ignored``, ``img_suffix``,
        ``seg_map_suffix``, and a ``data_prefix`` for ``train`` and for ``val``.

    Raises:
        DataError: no masks, values that are no numbers of classes, or pictures of several kinds of files.
    """
    root = Path(root)
    images = root / "images"
    masks = next((root / name for name in MASKS if (root / name).is_dir()), root / MASKS[0])
    prefix = {
        name: dict(img_path=f"images/{part(images, name)}", seg_map_path=f"{masks.name}/{part(masks, name)}")
        for name in PARTS
    }
    found: dict[str, Any] = dict(
        classes=NOTHING_YET, palette=[], zero_is_ignored=False, img_suffix=".jpg", seg_map_suffix=".png", **prefix
    )
    if not root.is_dir():
        return found
    files = _pictures(root / prefix["train"]["seg_map_path"])
    found["img_suffix"] = _suffix(_pictures(root / prefix["train"]["img_path"]))
    found["seg_map_suffix"] = _suffix(files)
    values, palette = _values(files[:LOOKED_AT])
    names = _listed(root / "classes.txt")
    if names is None:
        if len(files) > LOOKED_AT:
            raise DataError(
                f"{len(files)} masks found in {root} and no classes.txt; expected ROOT/classes.txt with a line `VALUE "
                "NAME` for each mask value, since so many masks are not read each time"
            )
        highest = max((value for value in values if value != IGNORED), default=0)
        names = {value: f"class_{value}" for value in range(highest + 1)}
        if missing := sorted(set(names) - values):
            raise DataError(
                f"the masks of {root} have values up to {highest}, but not {', '.join(map(str, missing[:5]))}; "
                f"expected 0 to K - 1 for K classes and {IGNORED} where nothing is known. List the values and names in "
                "ROOT/classes.txt, or renumber the masks"
            )
    elif odd := sorted(set(range(1, max(names) + 1)) - set(names)):
        raise DataError(
            f"{root / 'classes.txt'} names values up to {max(names)}, but not {odd[0]}; expected every value from 0 or "
            "1 on, since values are labels"
        )
    found["zero_is_ignored"] = 0 not in names or "(ignore)" in names[0]
    classes = [names[value] for value in sorted(names) if value or not found["zero_is_ignored"]]
    if len(classes) < 2:
        raise DataError(
            f"the masks of {root} have {len(classes)} class (values {', '.join(map(str, sorted(values)))}; {IGNORED} "
            "is ignored); expected two or more, the background counts as one"
        )
    first = int(found["zero_is_ignored"])
    return {**found, "classes": tuple(classes), "palette": palette[first : first + len(classes)]}


def detection(root: str | Path) -> dict[str, Any]:
    """What mmdet needs to know of a set in COCO's format.

    The annotations of a part are ``ROOT/annotations/instances_<part>.json``, ``ROOT/annotations/<part>.json`` or
    ``ROOT/<part>/_annotations.coco.json``; its pictures lie in ``ROOT/<part>/``.

    Args:
        root: the set's folder.

    Returns:
        ``classes``, and for ``train`` and ``val`` an ``ann_file`` and a ``data_prefix``.

    Raises:
        DataError: no annotations, or no categories in them.
    """
    root = Path(root)
    found: dict[str, Any] = {"classes": NOTHING_YET}
    for name in PARTS:
        folder = part(root, name)
        tried = [
            f"annotations/instances_{folder}.json",
            f"annotations/{folder}.json",
            f"{folder}/_annotations.coco.json",
        ]
        file = next((each for each in tried if (root / each).is_file()), tried[0])
        found[name] = dict(ann_file=file, data_prefix=dict(img=f"{folder}/"))
        if name == "train" and root.is_dir():
            if not (root / file).is_file():
                raise DataError(f"{root} has no annotations; expected one of {', '.join(tried)}, in COCO's format")
            found["classes"] = _categories(root / file)
    return found


def _categories(file: Path) -> tuple[str, ...]:
    try:
        names = tuple(str(category["name"]) for category in json.loads(file.read_text(encoding="utf-8"))["categories"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is no COCO instances file: {type(error).__name__} {error}") from None
    if not names:
        raise DataError(f"{file} has no categories; expected one or more, each with an id and a name")
    return names


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist; expected ROOT/{{images,annotations}}/{{train,val}}/<picture>")
    if files := list(pictures_under(folder, OWN_SUFFIXES)):
        return files
    raise DataError(f"{folder} holds no pictures; expected one for each mask")


def _suffix(files: Sequence[Path]) -> str:
    """The one ending of all files, which mmseg asks for."""
    endings = sorted({file.suffix for file in files})
    if len(endings) > 1:
        raise DataError(
            f"{files[0].parent} holds files that end in {' and '.join(endings)}, and mmseg reads one kind; convert them"
        )
    return endings[0]


def _values(files: Sequence[Path]) -> tuple[set[int], list[list[int]]]:
    """Values that occur in masks, and the colours of the first that has any."""
    values: set[int] = set()
    palette: list[list[int]] = []
    for file in files:
        mask = decoded(file)
        if mask.mode not in ("1", "L", "P", "I;16", "I"):
            raise DataError(f"{file} has mode {mask.mode}; expected one channel whose values are classes")
        if mask.mode == "P" and not palette:
            colours = mask.getpalette() or []
            palette = [colours[at : at + 3] for at in range(0, len(colours), 3)]
        values |= set(np.unique(np.asarray(mask)).astype(int).tolist())
    return values, palette


def _listed(file: Path) -> dict[int, str] | None:
    """Mask values and names of a classes.txt; None without one. Further columns are left out."""
    if not file.is_file():
        return None
    names: dict[int, str] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        value, _, name = line.strip().replace("\t", " \t", 1).partition(" ")
        if not line.strip():
            continue
        if not value.isdigit() or not name.strip():
            raise DataError(f"{file}, line {number}: {line.strip()!r} found; expected a mask value and a name")
        names[int(value)] = name.strip().split("\t")[0]
    if not names:
        raise DataError(f"{file} is empty; expected lines of a mask value and a name, or no such file")
    return names
