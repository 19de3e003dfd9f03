"""Whether one of the small sets is whole: its lists against the published counts and against the files there are."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS

import mixedae.registry  # noqa: F401
from mixedae.datasets.held_out import PARTS
from mixedae.datasets.listing import pictures_under
from mixedae.datasets.small_set import SmallSet, labels_of
from mixedae.datasets.verify.decoding import Decoder, size_of
from mixedae.datasets.verify.layouts import SplitSummary
from mixedae.errors import ConfigError, DataError
from mixedae.files import ROOT

SMALL = ROOT / "mm_configs" / "classification" / "small"


def verify_leaf(kind: str, root: Path, workers: int = 4, progress: bool = False) -> list[SplitSummary]:
    """:func:`verify_small_set` with what a leaf says of its set.

    Args:
        kind: the leaf's name, such as ``pets``, or its path.
        root: see there.
        workers: see there.
        progress: see there.

    Raises:
        ConfigError: no such leaf.
    """
    path = Path(kind) if kind.endswith(".py") else SMALL / f"{kind}.py"
    leaf = Config.fromfile(path) if path.is_file() else {}
    if "pictures" not in leaf:
        known = sorted(path.stem for path in SMALL.glob("*.py") if "pictures =" in path.read_text())
        raise ConfigError(f"`{kind}` is no dataset known here; expected imagenet, ade20k, coco or {', '.join(known)}")
    return verify_small_set(leaf["train_dataloader"]["dataset"], root, workers, progress)


def verify_small_set(
    config: Mapping[str, Any], root: Path, workers: int = 4, progress: bool = False
) -> list[SplitSummary]:
    """Read every list of a set, compare its numbers with what its leaf expects, and decode every picture.

    Args:
        config: the leaf's ``mixedae.SmallSet``, such as ``train_dataloader.dataset``.
        root: the set's folder, in the place of the leaf's.
        workers: threads that decode.
        progress: show a progress bar on a terminal.

    Returns:
        What each part holds; the held-out part, where it is drawn here.

    Raises:
        DataError: a list or file that is missing, other numbers than expected, a class without a picture in any part, a
            picture named twice or in training and test, a label without a file, a file without a label, a picture that
            does not decode.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder; expected the set as its archive unpacks (docs/eleven.md)")
    parts = {part: _read(config, root, part) for part in PARTS}
    names = {part: _names(dataset, f"{root}, {part}") for part, dataset in parts.items()}
    for part in ("trainval", "train", "val"):
        if both := set(names[part]) & set(names["test"]):
            raise DataError(f"{root}: {len(both)} pictures are in {part} and in test, such as {min(both)}")
    if odd := set(names["train"]) ^ set(names["trainval"]) ^ set(names["val"]):
        raise DataError(
            f"{root}: trainval is not train and val together; {len(odd)} pictures differ, such as {min(odd)}"
        )
    listed = sorted({*names["trainval"], *names["test"]})
    if lost := [name for name in listed if not Path(name).is_file()]:
        raise DataError(f"{root}: {len(lost)} of {len(listed)} pictures have a label and no file, such as {lost[0]}")
    expected = config.get("expected") or {}
    if listed and not expected.get("unlisted"):
        _check_unlisted(root, parts["trainval"], set(listed))
    for _ in Decoder(workers, progress).map(size_of, [Path(name) for name in listed], "pictures"):
        pass
    return [_summary(part, dataset, expected.get("classes", 0), str(root)) for part, dataset in parts.items()]


def _read(config: Mapping[str, Any], root: Path, part: str) -> SmallSet:
    """A part of the set; readers of single sets raise whatever their formats do."""
    own = {**config, "part": part, "pipeline": [], "dataset": {**config["dataset"], "data_root": str(root)}}
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        try:
            return DATASETS.build(own)
        except DataError:
            raise
        except Exception as error:
            raise DataError(
                f"{root}, {part}: {config['dataset']['type']} cannot read its lists ({type(error).__name__}: {error}); "
                "expected the layout in docs/eleven.md"
            ) from error


def _names(dataset: SmallSet, where: str) -> list[str]:
    """The files of a part; none where the pictures are in memory."""
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    names = [info["img_path"] for info in infos if "img_path" in info]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{where}: {len(twice)} pictures are named more than once, such as {twice[0]}")
    return names


def _check_unlisted(root: Path, dataset: SmallSet, listed: set[str]) -> None:
    """Refuse pictures that lie among the listed ones and have no label."""
    folders = {Path(dataset.get_data_info(i)["img_path"]).relative_to(root).parts[0] for i in range(len(dataset))}
    there = (path for folder in sorted(folders) for path in pictures_under(root / folder))
    known = {str(Path(name)) for name in listed}
    unknown = [path for path in there if str(path) not in known]
    if unknown:
        raise DataError(f"{root}: {len(unknown)} pictures are in no list and have no label, such as {unknown[0]}")


def _summary(part: str, dataset: SmallSet, classes: int, where: str) -> SplitSummary:
    counts = Counter(label for i in range(len(dataset)) for label in labels_of(dataset.get_data_info(i)))
    names = dataset.metainfo.get("classes") or range(max(classes, max(counts, default=-1) + 1))
    if empty := [name for label, name in enumerate(names) if not counts[label]]:
        raise DataError(f"{where}, {part}: class {empty[0]} has no picture ({len(empty)} such classes)")
    return SplitSummary(part, len(dataset), "pictures", {str(name): counts[k] for k, name in enumerate(names)})
