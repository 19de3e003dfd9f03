"""A card and a suite to start from, for data and checkpoints of one's own: short files with comments."""

import json
from collections.abc import Callable
from pathlib import Path

from mixedae.benchmark.plan.cards import load_card
from mixedae.benchmark.plan.suites import BENCHMARK, load_suite
from mixedae.datasets.listing import OWN_SUFFIXES, pictures_under
from mixedae.datasets.own_sets import class_folders, detection, part, segmentation
from mixedae.errors import ConfigError, DataError

TASKS = ("classification", "segmentation", "detection")
METRICS = {
    "classification": "{key: accuracy/top1, name: top-1}",
    "segmentation": "{key: mIoU, name: mIoU}",
    "detection": "{key: coco/bbox_mAP, name: box AP, scale: 100, zero_when_absent: true}, "
    "{key: coco/segm_mAP, name: mask AP, scale: 100, zero_when_absent: true}",
}
PROTOCOLS = {
    "classification": "fine-tuning of the whole ViT, average of the patch tokens into a linear head",
    "segmentation": "UperNet, fine-tuning of the whole ViT",
    "detection": "Cascade Mask R-CNN, fine-tuning of the whole ViT",
}
CARD = """\
# A task: what is measured, on which data, by which recipe. Every key is explained in docs/benchmark.md.
name: {name}  # the file's name
title: {name}
dataset: pictures of our own, {classes}  # its full name, version and origin
data: {{name: own_{task}}}  # bench.py run ... --data own_{task}={data}
splits: {{train: {train}, val: {val}}}  # pictures; the numbers are measured on val
metrics: [{metrics}]
protocol: {protocol}
recipe: mm_configs/own/{task}.py  # copy it for another size, length or learning rate, and name the copy here
"""
SUITE = """\
# What is compared: rows x tasks x seeds, in one table. Every key is explained in docs/benchmark.md.
title: {name}
pretrainings:  # the rows; another one: NAME: {{title: ..., checkpoint: FILE}}, or config: CONFIG to pre-train it here
  random: {{title: random init, random: true}}
  {row}
baseline: {baseline}  # differences are taken to this row
tasks: [{tasks}]
seeds: [0, 1, 2]  # each one trains everything once more
"""


def new_card(name: str, task: str, data: Path, folder: Path = BENCHMARK) -> Path:
    """Write a card for a set of one's own, with the pictures counted.

    Args:
        name: the card's.
        task: of :data:`TASKS`.
        data: the set's folder, laid out as the recipe in ``mm_configs/own`` says.
        folder: that holds ``tasks/``.

    Returns:
        The file.

    Raises:
        ConfigError: there is such a card, or the name cannot be one.
        DataError: the folder holds no such set.
    """
    if not data.is_dir():
        raise DataError(f"--data {data} is no folder; expected a set laid out as mm_configs/own/{task}.py says")
    if task == "classification":
        classes = class_folders(data)
        folders = {split: data / part(data, split) for split in ("train", "val")}
    elif task == "segmentation":
        found = segmentation(data)
        classes, folders = found["classes"], {split: data / found[split]["img_path"] for split in ("train", "val")}
    else:
        found = detection(data)
        classes = found["classes"]
        folders = {split: data / found[split]["data_prefix"]["img"] for split in ("train", "val")}
    for split, place in folders.items():
        if not place.is_dir():
            raise DataError(f"{place} does not exist; expected the pictures of {split}")
    counts = {split: sum(1 for _ in pictures_under(place, OWN_SUFFIXES)) for split, place in folders.items()}
    if task == "detection":  # pictures that are not listed are not read
        counts = {split: _listed(data / found[split]["ann_file"]) for split in counts}
    text = CARD.format(
        name=name,
        task=task,
        data=data,
        classes="1 class" if len(classes) == 1 else f"{len(classes)} classes",
        metrics=METRICS[task],
        protocol=PROTOCOLS[task],
        **counts,
    )
    return _written(folder / "tasks" / f"{name}.yaml", text, load_card)


def new_suite(name: str, tasks: tuple[str, ...], checkpoint: Path | None, folder: Path = BENCHMARK) -> Path:
    """Write a suite that compares a checkpoint with random weights.

    Args:
        name: the suite's.
        tasks: names of cards.
        checkpoint: the row's; without one it must be given when the suite runs.
        folder: that holds ``suites/`` and ``tasks/``.

    Returns:
        The file.

    Raises:
        ConfigError: there is such a suite, or no such card.
    """
    file = str(checkpoint.absolute()) if checkpoint else None
    row = f"mine: {{title: mine, checkpoint: {file}}}" if file else "# mine: {title: mine, checkpoint: FILE}"
    text = SUITE.format(name=name, row=row, baseline="random", tasks=", ".join(tasks))
    return _written(folder / "suites" / f"{name}.yaml", text, load_suite)


def _listed(file: Path) -> int:
    if not file.is_file():
        raise DataError(f"{file} does not exist; expected annotations in COCO's format")
    return len(json.loads(file.read_text(encoding="utf-8")).get("images", ()))


def _written(path: Path, text: str, load: Callable[[Path], object]) -> Path:
    """Write a new file that loads, or leave none."""
    if path.exists():
        raise ConfigError(f"{path} exists already; choose another name, or change that file")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    try:
        load(path)
    except ConfigError:
        path.unlink()
        raise
    return path
