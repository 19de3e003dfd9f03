"""Masks and COCO files against the config, before training: what mmseg and mmdet take on trust."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mixedae.datasets.verify.decoding import decoded
from mixedae.errors import DataError
from mixedae.wording import nearest

LOOKED_AT = 256
"""Masks, or pictures, of a split that are opened before training; `tools/data.py verify` opens all."""
IGNORED = 255
ADE20K_CLASSES = 150
FIELDS = ("id", "image_id", "category_id", "bbox", "area")


def spread(items: Sequence[Any], most: int = LOOKED_AT) -> list[Any]:
    """At most so many items, evenly spread, the first and the last among them.

    Args:
        items: in order.
        most: 2 or more.
    """
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def tell(text: str) -> None:
    """Print what a reader should know and what is no error."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def check_masks(dataset: Mapping[str, Any], pairs: Sequence[tuple[Path, Path]], split: str, channels: int) -> None:
    """Check that masks are one channel of the picture's size whose values are classes, and that some pixel has a class.

    Args:
        dataset: the config of the dataset.
        pairs: of pictures and their masks.
        split: for messages.
        channels: classes that the model predicts.

    Raises:
        DataError: with the mask's path and the value.
    """
    names = (dataset.get("metainfo") or {}).get("classes")
    if str(dataset.get("type")).endswith("ADE20KDataset") and names:
        return  # mmseg maps a part of the 150 classes onto these
    first = int(bool(dataset.get("reduce_zero_label", str(dataset.get("type")).endswith("ADE20KDataset"))))
    count = len(names) if names else channels
    looked = spread(pairs)
    seen: Counter[int] = Counter()
    for picture, path in looked:
        mask = decoded(path)
        if mask.mode not in ("L", "P", "I;16", "I"):
            raise DataError(f"{split} data: {path} has mode {mask.mode}; expected one channel whose values are classes")
        with Image.open(picture) as image:
            if image.size != mask.size:
                raise DataError(
                    f"{split} data: {path} is {mask.size[0]} x {mask.size[1]}, its picture {picture} "
                    f"{image.size[0]} x {image.size[1]} pixels; expected the same"
                )
        values = np.unique(np.asarray(mask)).tolist()
        most = count - 1 + first
        if wrong := [value for value in values if value > most and value != IGNORED]:
            raise DataError(
                f"{split} data: {path} has the value {wrong[-1]}; expected {first} to {most} (the {count} classes)"
                f"{', 0 (ignored)' if first else ''} or {IGNORED} (ignored)"
            )
        classes = [value for value in values if first <= value <= most]
        if not classes:
            tell(f"{split} data: {path} has no labelled pixel, only {', '.join(map(str, values))}")
        seen.update(classes)
    if not seen:
        raise DataError(
            f"{split} data: none of the {len(looked)} masks that were looked at has a labelled pixel "
            f"(values {first} to {count - 1 + first}): nothing would be learned; is reduce_zero_label right?"
        )
    if len(looked) == len(pairs) and (absent := [value for value in range(first, count + first) if not seen[value]]):
        shown = ", ".join(f"{value} ({names[value - first]})" if names else str(value) for value in absent[:5])
        zero = "; 0 is ignored here (reduce_zero_label=True)" if first else ""
        tell(f"{split} data: no mask has a pixel of {len(absent)} of {count} classes: {shown}{zero}")
    if len(looked) < len(pairs):
        tell(f"{split} data: {len(looked)} of {len(pairs)} masks were looked at; tools/data.py verify looks at all")


def check_coco(dataset: Mapping[str, Any], file: Path, folder: Path, split: str, classes: Sequence[str]) -> int:
    """Check a COCO file: fields, categories by name, references, sizes, files.

    Args:
        dataset: the config of the dataset.
        file: the annotations.
        folder: of the pictures.
        split: for messages.
        classes: names of the config.

    Returns:
        How many pictures it lists.

    Raises:
        DataError: with the file, the annotation or picture, and the field.
    """
    where = f"{split} data: {file}"
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        images, annotations, categories = (list(data[key]) for key in ("images", "annotations", "categories"))
        names = [category["name"] for category in categories]
        ids = {category["id"] for category in categories}
        by_id = {image["id"]: image for image in images}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where} is no COCO instances file: {type(error).__name__} {error}") from None
    for name in classes:
        if name not in names:
            raise DataError(f"{where} has no category `{name}`, which the config names; {nearest(name, names)}")
    if further := [name for name in names if name not in classes]:
        raise DataError(
            f"{where} has the category `{further[0]}` ({len(further)} such), which the config's classes do not name: "
            "its objects would be background. Name it (dataset.metainfo.classes and num_classes), or remove it"
        )
    if twice := [name for name, number in Counter(names).items() if number > 1]:
        raise DataError(f"{where} has {twice[0]} twice in `categories`; names must be unique")
    needed = (*FIELDS, "segmentation") if _reads_masks(dataset) else FIELDS
    degenerate = []
    for annotation in annotations:
        for field in needed:
            if annotation.get(field) in (None, [], ""):
                raise DataError(
                    f"{where}: annotation {annotation.get('id')} has no `{field}`; expected {', '.join(needed)}"
                )
        if annotation["image_id"] not in by_id:
            raise DataError(
                f"{where}: annotation {annotation['id']} is of image {annotation['image_id']}, which is not there"
            )
        if annotation["category_id"] not in ids:
            raise DataError(
                f"{where}: annotation {annotation['id']} is of category {annotation['category_id']}, which is not there"
            )
        if _is_degenerate(annotation, by_id[annotation["image_id"]]):
            degenerate.append(annotation["id"])
    if degenerate:
        tell(
            f"{where}: {len(degenerate)} of {len(annotations)} objects have no area or lie outside their picture, such "
            f"as annotation {degenerate[0]}; training leaves them out"
        )
    for image in images:
        if not (folder / image["file_name"]).is_file():
            raise DataError(f"{where}: {folder / image['file_name']} of image {image['id']} does not exist")
    for image in spread(images):
        path = folder / image["file_name"]
        try:
            with Image.open(path) as picture:
                size = picture.size
        except Exception as error:
            raise DataError(f"{path} cannot be decoded: {error}; replace the file or remove it") from error
        if size != (image.get("width"), image.get("height")):
            raise DataError(
                f"{where}: image {image['id']} is said to be {image.get('width')} x {image.get('height')}, {path} has "
                f"{size[0]} x {size[1]} pixels, as stored: boxes and masks would not lie on it. Correct the entry, or "
                "remove it with its annotations"
            )
    return len(images)


def tell_native_size(train: Mapping[str, Any], val: Mapping[str, Any]) -> None:
    """Say where pictures are trained at their own size and tested at another: a recipe for small pictures, inherited.

    Args:
        train: the config of the training pictures, in COCO's format.
        val: that of the pictures to test on.
    """
    if any(word in str(step.get("type")) for step in train.get("pipeline") or () for word in ("Resize", "Crop", "Pad")):
        return
    scale = next((step.get("scale") for step in val.get("pipeline") or () if step.get("type") == "Resize"), None)
    file = Path(train.get("data_root") or "") / (train.get("ann_file") or "")
    if scale is None or isinstance(scale, int) or not file.is_file():
        return
    images = json.loads(file.read_text(encoding="utf-8"))["images"]
    longest = max((max(image.get("width", 0), image.get("height", 0)) for image in images), default=0)
    if longest > max(scale):
        tell(
            f"train_dataloader has no Resize: pictures of up to {longest} pixels are trained at their own size, and "
            f"tested at {scale[0]} x {scale[1]}. Give the training pipeline a Resize, as that of "
            "mm_configs/own/detection.py"
        )


def _reads_masks(dataset: Mapping[str, Any]) -> bool:
    return any(step.get("with_mask") for step in dataset.get("pipeline") or ())


def _is_degenerate(annotation: Mapping[str, Any], image: Mapping[str, Any]) -> bool:
    x, y, width, height = annotation["bbox"]
    inside = min(x + width, image.get("width", 0)) - max(x, 0), min(y + height, image.get("height", 0)) - max(y, 0)
    polygons = annotation.get("segmentation")
    short = isinstance(polygons, list) and any(len(ring) < 6 or len(ring) % 2 for ring in polygons)
    return width < 1 or height < 1 or annotation["area"] <= 0 or min(inside) <= 0 or short
