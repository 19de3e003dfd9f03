"""The built-in mini benchmark: seeded pictures written as real ImageNet-folder, ADE20K and COCO files.

Many unlabelled pictures and few labelled ones, as in practice: 8,000 to pre-train on, 30 labelled ones per class, a few
hundred scenes. ``manifest.json`` says what was written, with a SHA-256 over the pixels of each split: the same on every
machine.
"""

import hashlib
import json
import multiprocessing
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mixedae.datasets.mini.scenes import CLASSES, SCENE_SIZE, Scene, picture, scene
from mixedae.datasets.mini.shapes import Bools, Draw
from mixedae.errors import ConfigError, DataError

__all__ = ["CLASSES", "COUNTS", "VERSION", "write_mini"]

VERSION = 1  # raise it with any change that moves a pixel or a file: results on different versions do not compare
CHUNK = 100  # pictures per job

SPLITS = (
    "imagenet/pretrain",
    "imagenet/train",
    "imagenet/val",
    "ade20k/training",
    "ade20k/validation",
    "coco/train2017",
    "coco/val2017",
)
COUNTS = {
    "full": dict(zip(SPLITS, (8000, 300, 500, 160, 100, 160, 100), strict=True)),
    "test": dict(zip(SPLITS, (80, 30, 20, 10, 10, 10, 10), strict=True)),
}


def write_mini(
    root: Path, seed: int = 0, scale: str = "full", workers: int = 1, progress: bool = False
) -> dict[str, Any]:
    """Write the mini benchmark, all of it or nothing.

    It is written into a temporary folder beside ``root``, which is renamed at the end. A complete benchmark of the same
    version, seed and scale is left as it is.

    Args:
        root: the folder to write, ``data/mini`` by custom.
        seed: a non-negative integer; every picture depends on the seed, its split and its number only.
        scale: ``full``, or ``test`` with a few pictures per split.
        workers: processes to draw with (a caller with more than 1 needs an importable ``__main__``). The pixels do not
            depend on it.
        progress: show a progress bar on a terminal.

    Returns:
        The manifest: ``version``, ``seed``, ``scale``, ``classes``, ``counts`` and ``sha256`` (of the pixels and masks)
        by split.

    Raises:
        ConfigError: an unknown scale or a negative seed.
        DataError: ``root`` holds something else.
    """
    if scale not in COUNTS:
        raise ConfigError(f"scale `{scale}` is unknown; expected one of {', '.join(COUNTS)}")
    if seed < 0:
        raise ConfigError(f"seed {seed} is negative; expected 0 or more")
    root = Path(root)
    manifest = {"version": VERSION, "seed": seed, "scale": scale, "classes": list(CLASSES), "counts": COUNTS[scale]}
    if (found := _existing(root, manifest)) is not None:
        return found
    root.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{root.name}.", suffix=".tmp", dir=root.parent))
    try:
        manifest["sha256"] = _write_splits(temporary, seed, scale, workers, progress)
        (temporary / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        temporary.chmod(0o755)
        try:
            temporary.rename(root)
        except OSError:  # another process was faster
            if (found := _existing(root, manifest)) is None:
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _existing(root: Path, manifest: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest of a complete benchmark at ``root``; None if nothing is there; DataError if something else is."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    advice = "remove the folder to have it written again, or name another one with --out"
    try:
        found = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
        said = {key: found[key] for key in manifest if key != "sha256"}
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{root} exists and is no complete mini benchmark (no valid manifest.json); {advice}") from None
    for key, value in said.items():
        if value != manifest[key]:
            raise DataError(
                f"{root} holds another mini benchmark: {key} is {value!r}, expected {manifest[key]!r}; {advice}"
            )
    for split, count in said["counts"].items():
        pictures = sum(1 for _ in _folder(root, split).rglob("*.png"))
        if pictures != count:
            raise DataError(f"{root}: {split} has {pictures} pictures, its manifest says {count}; {advice}")
    return found


def _folder(root: Path, split: str) -> Path:
    kind, name = split.split("/")
    return root / kind / "images" / name if kind == "ade20k" else root / kind / name


def _write_splits(root: Path, seed: int, scale: str, workers: int, progress: bool) -> dict[str, str]:
    """Draw and write every split; returns the SHA-256 of each."""
    jobs = [
        (root, seed, split, start, min(start + CHUNK, count))
        for split, count in COUNTS[scale].items()
        for start in range(0, count, CHUNK)
    ]
    for split in SPLITS:
        _make_folders(root, split)
    hashes = {split: hashlib.sha256() for split in SPLITS}
    annotations: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    with _mapping(workers) as run, _bar(len(jobs) * CHUNK, progress) as advance:
        for job, (digests, records) in zip(jobs, run(_write_chunk, jobs), strict=True):
            hashes[job[2]].update(digests)
            annotations[job[2]] += records
            advance(CHUNK)
    names = ("unlabelled", "background", *CLASSES)
    lines = "".join(f"{value}\t{name}\n" for value, name in enumerate(names))
    (root / "ade20k" / "classes.txt").write_text(lines, encoding="utf-8")
    for split in SPLITS:
        if split.startswith("coco/"):
            path = root / "coco" / "annotations" / f"instances_{split.split('/')[1]}.json"
            path.write_text(json.dumps(_coco_file(annotations[split], seed)), encoding="utf-8")
    return {split: digest.hexdigest() for split, digest in hashes.items()}


def _make_folders(root: Path, split: str) -> None:
    kind, name = split.split("/")
    folder = _folder(root, split)
    extra = {
        "imagenet": [folder / label for label in CLASSES],
        "ade20k": [root / kind / "annotations" / name],
        "coco": [root / kind / "annotations"],
    }[kind]
    for path in (folder, *extra):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def _mapping(workers: int) -> Iterator[Any]:
    """``map`` in this process or over worker processes; results come in the order of the jobs."""
    if workers <= 1:
        yield map
        return
    # spawn, not fork: the caller may run threads
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool.map


@contextmanager
def _bar(total: int, show: bool) -> Iterator[Any]:
    """A progress bar on standard error, on a terminal only; yields the function that moves it."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not (show and console.is_terminal), transient=True) as bar:
        task = bar.add_task("mini benchmark", total=total)
        yield lambda count: bar.advance(task, count)


def _write_chunk(job: tuple[Path, int, str, int, int]) -> tuple[bytes, list[dict[str, Any]]]:
    """Draw and write some pictures of a split; returns their SHA-256 digests and, for COCO, the records."""
    root, seed, split, start, stop = job
    kind, name = split.split("/")
    folder = _folder(root, split)
    digests, records = b"", []
    for index in range(start, stop):
        draw, label = Draw(seed, SPLITS.index(split), index), index % len(CLASSES)
        if kind == "imagenet":
            pixels, truth = picture(draw, label), b""
            _save(pixels, folder / CLASSES[label] / f"{index:05d}.png")
        else:
            one = scene(draw, label)
            pixels, truth = one.pixels, one.semantic.tobytes() + bytes(one.labels) + np.packbits(one.masks).tobytes()
            if kind == "ade20k":
                _save(pixels, folder / f"{index + 1:05d}.png")
                _save(one.semantic, root / kind / "annotations" / name / f"{index + 1:05d}.png")
            else:
                _save(pixels, folder / f"{index + 1:012d}.png")
                records.append(_coco_record(one, index + 1))
        digests += hashlib.sha256(pixels.tobytes() + truth).digest()
    return digests, records


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    Image.fromarray(pixels).save(path, compress_level=3)


def run_lengths(mask: Bools) -> list[int]:
    """COCO's uncompressed run-length encoding of a (H, W) mask: lengths of runs of 0, 1, 0, ..., column by column."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff([0, *edges.tolist(), mask.size]).tolist()


def _coco_record(one: Scene, image_id: int) -> dict[str, Any]:
    """A scene as COCO's image entry and annotation entries (ids are given later, in :func:`_coco_file`)."""
    annotations = []
    for label, mask in zip(one.labels, one.masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)).tolist(), np.flatnonzero(mask.any(axis=0)).tolist()
        annotations.append(
            {
                "image_id": image_id,
                "category_id": label + 1,
                "iscrowd": 0,
                "area": int(mask.sum()),
                "bbox": [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1],
                "segmentation": {"size": [SCENE_SIZE, SCENE_SIZE], "counts": run_lengths(mask)},
            }
        )
    name = f"{image_id:012d}.png"
    image = {"id": image_id, "file_name": name, "height": SCENE_SIZE, "width": SCENE_SIZE, "license": 1}
    return {"image": image, "annotations": annotations}


def _coco_file(records: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """COCO's ``instances_*.json`` as a dict."""
    annotations = [annotation for record in records for annotation in record["annotations"]]
    return {
        "info": {"description": "MixedAE mini benchmark (generated)", "version": str(VERSION), "seed": seed},
        "licenses": [{"id": 1, "name": "CC0-1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}],
        "images": [record["image"] for record in records],
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)],
        "categories": [
            {"id": k + 1, "name": name, "supercategory": name.split("_")[1]} for k, name in enumerate(CLASSES)
        ],
    }
