"""Datasets on disk are checked before they are trained on: the layout in a moment, every picture and mask on demand.

mmengine replaces a sample that cannot be read by another one without a word.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from mixedae.datasets.listing import PICTURE_SUFFIXES, check_suffixes, files_under, pictures_under, subfolders
from mixedae.datasets.verify.decoding import Decoder, decoded, size_of
from mixedae.errors import ConfigError, DataError

SPLITS = {"imagenet": ("train", "val"), "ade20k": ("training", "validation"), "coco": ("train2017", "val2017")}
EXPECTED = {
    "imagenet": "<root>/{train,val}/<class>/*.JPEG",
    "ade20k": "<root>/{images,annotations}/{training,validation}/*.{jpg,png}",
    "coco": "<root>/{train2017,val2017}/*.jpg and <root>/annotations/instances_{train2017,val2017}.json",
}


@dataclass(frozen=True)
class SplitSummary:
    """What one split holds.

    Attributes:
        split: its name.
        images: the number of pictures.
        unit: what ``counts`` counts.
        counts: by class: pictures (imagenet), pictures in which it occurs (ade20k), instances (coco).
    """

    split: str
    images: int
    unit: str
    counts: dict[str, int]


def check_layout(kind: str, root: Path, splits: Sequence[str] | None = None) -> None:
    """Refuse a dataset of which a folder, a split, a class's pictures or an annotation file is missing; nothing is
    decoded.

    Args:
        kind: ``imagenet`` (folders of classes), ``ade20k`` (pictures and masks) or ``coco`` (instances in JSON).
        root: the dataset's folder.
        splits: the splits to look at; by default the two that training and validation need.

    Raises:
        ConfigError: an unknown kind.
        DataError: names what is missing, and the layout expected.
    """
    if kind not in SPLITS:
        raise ConfigError(f"dataset kind `{kind}` is unknown; expected one of {', '.join(SPLITS)}")
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root} is no folder; expected a dataset laid out as {EXPECTED[kind]}")
    classes: dict[str, list[str]] = {}
    for split in splits or SPLITS[kind]:
        if kind == "imagenet":
            classes[split] = class_folders(root / split)
        else:
            _need_pictures(root / "images" / split if kind == "ade20k" else root / split, kind)
        if kind == "ade20k":
            _need_pictures(root / "annotations" / split, kind)
        if kind == "coco" and not (file := _annotation_file(root, split)).is_file():
            raise DataError(f"{file} does not exist; expected {EXPECTED[kind]}")
    first, *others = classes or [""]
    for other in others:
        if odd := sorted(set(classes[first]) ^ set(classes[other])):
            raise DataError(
                f"{root}: {first} has {len(classes[first])} classes and {other} has {len(classes[other])}; "
                f"only one of the two has {', '.join(odd[:5])}{' ...' if len(odd) > 5 else ''}; labels would not fit"
            )


def verify_folder(
    kind: str,
    root: Path,
    num_classes: int | None = None,
    splits: Sequence[str] | None = None,
    workers: int = 4,
    progress: bool = False,
) -> list[SplitSummary]:
    """Check the layout, decode every picture and mask in full, and hold the annotations against them.

    Args:
        kind: ``imagenet``, ``ade20k`` or ``coco``.
        root: the dataset's folder.
        num_classes: the largest value that a mask may have (ade20k; 0 is unlabelled). By default the largest index in
            ``classes.txt``, or ADE20K's 150.
        splits: the splits to look at; by default the two that training and validation need, and ``pretrain`` where
            there is one.
        workers: threads that decode.
        progress: show a progress bar on a terminal.

    Returns:
        What each split holds.

    Raises:
        ConfigError: an unknown kind.
        DataError: names the first file that is missing, damaged or inconsistent.
    """
    root = Path(root)
    check_layout(kind, root, splits)
    if splits is None:
        splits = (*SPLITS[kind], *(["pretrain"] if kind == "imagenet" and (root / "pretrain").is_dir() else []))
    decoder = Decoder(workers, progress)
    if kind == "imagenet":
        return [_verify_class_folders(root, split, decoder) for split in splits]
    if kind == "ade20k":
        most = num_classes or _mask_classes(root)
        return [_verify_masks(root, split, most, decoder) for split in splits]
    return [_verify_coco(root, split, decoder) for split in splits]


def _need_pictures(folder: Path, kind: str) -> None:
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist; expected {EXPECTED[kind]}")
    if next(pictures_under(folder), None) is None:
        raise DataError(f"{folder} holds no pictures; expected {EXPECTED[kind]}")


def class_folders(folder: Path, suffixes: Sequence[str] = PICTURE_SUFFIXES) -> list[str]:
    """The classes of a split of ImageNet's layout: the names of its folders in order, as mmpretrain numbers them.

    Args:
        folder: of the split.
        suffixes: endings of names that count as pictures, in small letters.

    Raises:
        DataError: no such folder, no folder of a class in it, one that is no class, a class without a picture, or
            pictures that the dataset would pass over.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist; expected {EXPECTED['imagenet']}")
    classes = subfolders(folder)
    check_suffixes(folder, suffixes)
    if not classes:
        flat = sum(1 for _ in pictures_under(folder, suffixes))
        raise DataError(f"{folder} has no class folders ({flat} pictures lie in it); expected {EXPECTED['imagenet']}")
    if empty := [name for name in classes if next(pictures_under(folder / name, suffixes), None) is None]:
        raise DataError(
            f"{len(empty)} of {len(classes)} classes in {folder} are empty ({', '.join(empty[:5])}); expected at least "
            "one picture in each"
        )
    return classes


def pictures_with_masks(images: Path, masks: Path, suffix: str = "", mask_suffix: str = "") -> list[tuple[Path, Path]]:
    """Every picture of a segmentation set with its mask, which has the same name but for the suffix.

    Args:
        images: folder of the pictures.
        masks: folder of the masks, with the same folders in it.
        suffix: how names of pictures end, such as ``.jpg``; default: all pictures.
        mask_suffix: how names of masks end; default: all pictures.

    Returns:
        Pairs of files, sorted.

    Raises:
        DataError: no picture, or a picture without a mask.
    """
    pictures, found = _by_name(images, suffix), _by_name(masks, mask_suffix)
    if not pictures:
        raise DataError(f"no {f'*{suffix}' if suffix else 'picture'} in {images}; is img_suffix right?")
    if lacking := sorted(pictures.keys() - found.keys()):
        raise DataError(
            f"{len(lacking)} of {len(pictures)} pictures in {images} have no mask in {masks} (such as "
            f"{lacking[0]}{mask_suffix})"
        )
    return [(pictures[name], found[name]) for name in sorted(pictures)]


def _by_name(folder: Path, suffix: str) -> dict[str, Path]:
    """Files by their path below the folder, without the suffix."""
    if suffix:
        return {
            str(path.relative_to(folder)).removesuffix(suffix): path
            for path in files_under(folder)
            if path.name.endswith(suffix)
        }
    return {str(path.relative_to(folder).with_suffix("")): path for path in pictures_under(folder)}


def _annotation_file(root: Path, split: str) -> Path:
    return root / "annotations" / f"instances_{split}.json"


def _mask_classes(root: Path) -> int:
    """The number of classes that ``classes.txt`` (index, tab, name) declares; ADE20K's 150 without it."""
    file = root / "classes.txt"
    if not file.is_file():
        return 150
    try:
        return max(int(line.split("\t")[0]) for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    except ValueError:
        raise DataError(f"{file} is not a list of classes; expected lines of index, tab, name") from None


def _verify_class_folders(root: Path, split: str, decoder: Decoder) -> SplitSummary:
    by_class = {
        name: list(pictures_under(root / split / name, PICTURE_SUFFIXES)) for name in class_folders(root / split)
    }
    paths = list(chain.from_iterable(by_class.values()))
    for _ in decoder.map(size_of, paths, split):
        pass
    return SplitSummary(split, len(paths), "pictures", {name: len(found) for name, found in by_class.items()})


def _verify_masks(root: Path, split: str, most: int, decoder: Decoder) -> SplitSummary:
    pictures, masks = zip(*pictures_with_masks(root / "images" / split, root / "annotations" / split), strict=True)
    if alone := sorted(set(pictures_under(root / "annotations" / split)) - set(masks)):
        raise DataError(f"{alone[0]} has no picture ({len(alone)} such files); expected {EXPECTED['ade20k']}")
    counts: Counter[int] = Counter()
    sizes = list(decoder.map(size_of, pictures, f"{split} pictures"))
    found = decoder.map(lambda path: _mask_values(path, most), masks, f"{split} masks")
    for mask, size, (mask_size, values) in zip(masks, sizes, found, strict=True):
        if size != mask_size:
            raise DataError(f"{mask} is {mask_size[0]} x {mask_size[1]}, its picture {size[0]} x {size[1]} pixels")
        counts.update(values)
    return SplitSummary(split, len(pictures), "pictures with it", {str(k): counts[k] for k in range(1, most + 1)})


def _mask_values(path: Path, most: int) -> tuple[tuple[int, int], list[int]]:
    """Size and values of a mask; values above ``most`` are refused."""
    image = decoded(path)
    if image.mode not in ("L", "P"):
        raise DataError(f"{path} has mode {image.mode}; expected one 8-bit channel whose values are classes")
    values = np.unique(np.asarray(image)).tolist()
    if values[-1] > most:
        raise DataError(f"{path} has the value {values[-1]}; expected 0 (unlabelled) to {most} (the number of classes)")
    return image.size, values


def _verify_coco(root: Path, split: str, decoder: Decoder) -> SplitSummary:
    file = _annotation_file(root, split)
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        images, annotations, categories = (_by_id(file, data, key) for key in ("images", "annotations", "categories"))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is not a COCO instances file: {type(error).__name__} {error}") from None
    if not annotations:
        raise DataError(f"{file} has no annotations; expected instances")
    ordered = [images[key] for key in sorted(images)]
    for image in ordered:
        if not (root / split / image["file_name"]).is_file():
            raise DataError(f"{file}: image {image['id']} is {root / split / image['file_name']}, which does not exist")
    sizes = decoder.map(size_of, [root / split / image["file_name"] for image in ordered], split)
    for image, size in zip(ordered, sizes, strict=True):
        if size != (image["width"], image["height"]):
            raise DataError(
                f"{file}: image {image['id']} ({image['file_name']}) is said to be {image['width']} x {image['height']}"
                f" pixels, the file has {size[0]} x {size[1]}"
            )
    counts: Counter[str] = Counter({category["name"]: 0 for category in categories.values()})
    for annotation in annotations.values():
        if problem := _annotation_problem(annotation, images, categories):
            raise DataError(f"{file}: annotation {annotation['id']} {problem}")
        counts[categories[annotation["category_id"]]["name"]] += 1
    return SplitSummary(split, len(images), "instances", dict(counts))


def _by_id(file: Path, data: dict[str, Any], key: str) -> dict[int, dict[str, Any]]:
    """The entries of a list of the JSON by their id, which must be unique."""
    entries = {entry["id"]: entry for entry in data[key]}
    if len(entries) != len(data[key]):
        twice = next(k for k, n in Counter(entry["id"] for entry in data[key]).items() if n > 1)
        raise DataError(f"{file}: the id {twice} occurs twice in `{key}`; ids must be unique")
    return entries


def _annotation_problem(
    annotation: dict[str, Any], images: dict[int, dict[str, Any]], categories: dict[int, dict[str, Any]]
) -> str | None:
    """What is wrong with an instance, in words, or None. A box may reach one pixel too far, as some of COCO's do."""
    if absent := [field for field in ("bbox", "area", "segmentation") if annotation.get(field) in (None, [], "")]:
        return f"has no `{absent[0]}`; expected bbox, area and segmentation"
    if annotation.get("image_id") not in images:
        return f"belongs to image {annotation.get('image_id')}, which is not in `images`"
    if annotation.get("category_id") not in categories:
        return f"is of category {annotation.get('category_id')}, which is not in `categories`"
    image = images[annotation["image_id"]]
    x, y, width, height = annotation.get("bbox") or (0, 0, 0, 0)
    if width <= 0 or height <= 0:
        return f"has the box {annotation.get('bbox')}; expected [x, y, width, height] with a positive area"
    if x < -1 or y < -1 or x + width > image["width"] + 1 or y + height > image["height"] + 1:
        return f"has the box {annotation['bbox']}, which leaves its image of {image['width']} x {image['height']}"
    mask = annotation.get("segmentation")
    if isinstance(mask, dict) and list(mask.get("size", [])) != [image["height"], image["width"]]:
        return f"has a mask of size {mask.get('size')}; expected {[image['height'], image['width']]}"
    pixels = image["height"] * image["width"]
    if isinstance(mask, dict) and isinstance(mask["counts"], list) and sum(mask["counts"]) != pixels:
        return f"has a mask whose runs add up to {sum(mask['counts'])}; expected {pixels}"
    if isinstance(mask, list) and (not mask or any(len(ring) < 6 or len(ring) % 2 for ring in mask)):
        return "has a polygon of fewer than three points"
    return None
