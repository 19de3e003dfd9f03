"""Held-out pictures for the analysis, with object masks if the dataset has them."""

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from mixedae.datasets.listing import ALL_PICTURE_SUFFIXES, pictures_under
from mixedae.datasets.verify.layouts import EXPECTED
from mixedae.errors import ConfigError, DataError

KINDS = ("images", "ade20k", "coco")
Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Pictures:
    """Pictures of one size.

    Attributes:
        names: paths below the dataset's folder.
        pixels: float (n, 3, S, S), RGB, 0..1.
        masks: bool (n, S, S), True = foreground; None if the dataset has none.
        left_out: pictures without foreground, or without background, after cropping: no map can be judged on them.
    """

    names: list[str]
    pixels: Tensor
    masks: Tensor | None = None
    left_out: int = 0


def read_pictures(
    source: str, size: int, limit: int, split: str | None = None, foreground: Sequence[int] | None = None
) -> Pictures:
    """Read pictures spread evenly over a dataset, cut to the largest centred square and resized (bicubic).

    Args:
        source: ``KIND=DIR``, or ``DIR`` for a folder of pictures. Kinds: ``images`` (at any depth; no masks),
            ``ade20k`` (``images|annotations/SPLIT``), ``coco`` (``SPLIT/``, ``annotations/instances_SPLIT.json``).
        size: S, in pixels.
        limit: how many are read at most.
        split: of the dataset; default ``validation`` or ``val2017``. Of ``images``, a folder below DIR.
        foreground: the mask values that are objects (ade20k); default: all but 0 and what ``classes.txt`` calls
            background.

    Raises:
        ConfigError: unknown kind.
        DataError: something is missing or damaged; the message names it.
    """
    kind, sign, folder = source.partition("=")
    if not sign:
        kind, folder = "images", source
    if kind not in KINDS:
        raise ConfigError(f"--data {source}: kind `{kind}` is unknown; expected one of {', '.join(KINDS)}")
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root} is no folder; expected pictures" + (f", {EXPECTED[kind]}" if kind in EXPECTED else ""))
    if kind == "images":
        files, mask_of = _pictures(root / split if split else root), None
    elif kind == "ade20k":
        files, mask_of = _ade20k(root, split or "validation", foreground)
    else:
        files, mask_of = _coco(root, split or "val2017")
    picked = np.unique(np.linspace(0, len(files) - 1, min(limit, len(files))).round().astype(int))
    names, pixels, masks = [], [], []
    for path in (files[i] for i in picked):
        image = _open(path).convert("RGB")
        if mask_of is not None:
            mask = Image.fromarray(mask_of(path))
            if mask.size != image.size:
                raise DataError(f"{path} has {image.size} pixels and its mask {mask.size}")
            square = np.asarray(ImageOps.fit(mask, (size, size), Image.Resampling.NEAREST)) > 0
            if square.all() or not square.any():
                continue
            masks.append(torch.from_numpy(square.copy()))
        fitted = np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))
        names.append(path.relative_to(root).as_posix())
        pixels.append(torch.from_numpy(fitted.copy()).permute(2, 0, 1) / 255)
    if not pixels:
        raise DataError(f"{root}: none of the {len(picked)} pictures looked at has both foreground and background")
    return Pictures(
        names, torch.stack(pixels), torch.stack(masks) if mask_of is not None else None, len(picked) - len(pixels)
    )


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist; expected a folder of pictures")
    found = list(pictures_under(folder))
    if not found:
        raise DataError(f"{folder} holds no pictures; looked for {', '.join(ALL_PICTURE_SUFFIXES)} at any depth")
    return found


def _open(path: Path) -> Any:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path} cannot be decoded: {error}") from error


def _ade20k(root: Path, split: str, foreground: Sequence[int] | None) -> tuple[list[Path], Callable[[Path], Mask]]:
    files = _pictures(root / "images" / split)
    if foreground is None:
        foreground = _objects_of(root / "classes.txt")
    values = np.array(sorted(foreground))

    def mask_of(path: Path) -> Mask:
        file = root / "annotations" / split / f"{path.stem}.png"
        if not file.is_file():
            raise DataError(f"{file}, the mask of {path.name}, does not exist; expected {EXPECTED['ade20k']}")
        return np.isin(np.asarray(_open(file)), values).astype(np.uint8)

    return files, mask_of


def _objects_of(classes: Path) -> list[int]:
    """The mask values of objects: lines of classes.txt are ``VALUE NAME``."""
    if not classes.is_file():
        raise DataError(f"{classes} does not exist; say which mask values are objects, such as --foreground 2-11")
    rows = [line.split(maxsplit=1) for line in classes.read_text().splitlines() if line.strip()]
    if any(len(row) != 2 or not row[0].isdigit() for row in rows):
        raise DataError(f"{classes} has lines that are not `VALUE NAME`; say which are objects with --foreground")
    return [int(value) for value, name in rows if int(value) and name.strip() != "background"]


def _coco(root: Path, split: str) -> tuple[list[Path], Callable[[Path], Mask]]:
    from pycocotools.coco import COCO

    file = root / "annotations" / f"instances_{split}.json"
    if not file.is_file():
        raise DataError(f"{file} does not exist; expected {EXPECTED['coco']}")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(file))
    ids = {root / split / coco.imgs[i]["file_name"]: i for i in sorted(coco.imgs) if coco.getAnnIds(i)}
    if not ids:
        raise DataError(f"{file} annotates no picture")

    def mask_of(path: Path) -> Mask:
        return np.any([coco.annToMask(a) for a in coco.loadAnns(coco.getAnnIds(ids[path]))], axis=0).astype(np.uint8)

    return list(ids), mask_of
