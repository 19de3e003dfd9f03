"""Datasets on disk against the config, before anything heavy is imported."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mixedae.datasets.held_out import part_config
from mixedae.datasets.listing import OWN_SUFFIXES, PICTURE_SUFFIXES, files_under, pictures_under
from mixedae.datasets.pictures import list_pictures
from mixedae.datasets.verify.layouts import class_folders, pictures_with_masks
from mixedae.engine.preflight.annotations import ADE20K_CLASSES, check_coco, check_masks, tell_native_size
from mixedae.errors import DataError

CLASS_FOLDERS = ("CustomDataset", "ImageNet", "ImageNet21k", "PicturesInMemory")
SEGMENTATION = ("BaseSegDataset", "ADE20KDataset")
IMAGENET_CLASSES = 1000
WHERE = (
    "Roots come from the environment: MIXEDAE_DATA_MINI, _IMAGENET, _ADE20K, _COCO, _CAMVID (bench.py: --data "
    "NAME=DIR); `python tools/data.py mini` writes the mini benchmark. Pre-training on a folder of pictures: --data DIR"
)
FLAT = ". Pre-training reads any folder of pictures, without classes: --data DIR"


def check_datasets(cfg: Any, splits: Sequence[str] = ("train", "val")) -> None:
    """Check that every folder and annotation file that the dataloaders name exists and holds something.

    Folders of classes (ImageNet's layout) must have pictures in every class, and the same classes in every split:
    labels are the places of the names in the alphabet, so that one missing folder shifts all labels after it, without
    a word. Segmentation folders must have a mask for every picture.

    Args:
        cfg: the resolved config.
        splits: of ``train``, ``val`` and ``test``.

    Raises:
        DataError: naming split and path.
    """
    classes: dict[str, list[str]] = {}
    model = cfg.get("model") or {}
    head = model.get("head") or {}
    channels = (model.get("decode_head") or {}).get("num_classes", ADE20K_CLASSES)
    for split in splits:
        loader = cfg.get(f"{split}_dataloader")
        for dataset in leaf_datasets(loader["dataset"]) if loader else ():
            found = _check_dataset(dataset, split, channels)
            if found is None:
                continue
            classes[split] = found
            if head.get("num_classes") not in (None, len(found)):
                raise DataError(
                    f"{split} data has {len(found)} class folders, model.head.num_classes is {head['num_classes']}; "
                    "labels beyond it would fail, or outputs stay unused: make the two agree"
                )
        if split == "train" and loader and loader.get("drop_last"):
            _check_one_batch(loader)
    coco = [
        next((each for each in leaf_datasets(loader["dataset"]) if str(each.get("type")).endswith("CocoDataset")), None)
        for loader in (cfg.get("train_dataloader"), cfg.get("val_dataloader"))
        if loader
    ]
    if "train" in splits and len(coco) == 2 and coco[0] and coco[1]:
        tell_native_size(coco[0], coco[1])
    if {"train", "val"} <= classes.keys() and classes["train"] != classes["val"]:
        only = sorted(set(classes["train"]) ^ set(classes["val"]))
        raise DataError(
            f"train has {len(classes['train'])} class folders and val {len(classes['val'])}; {len(only)} are in one of "
            f"them only ({', '.join(only[:5])}): every label after them would be shifted. Give both the same folders"
        )


def leaf_datasets(dataset: Any) -> Iterator[Any]:
    """The datasets inside wrappers such as RepeatDataset and ConcatDataset.

    Args:
        dataset: a dataset's config.

    Yields:
        Configs that have data of their own.
    """
    inner = [dataset["dataset"]] if dataset.get("dataset") else dataset.get("datasets") or []
    if dataset.get("splits"):  # mixedae.SmallSet
        inner = [part_config(dataset["dataset"], dataset["splits"], dataset.get("part", ""))]
    if not inner:
        yield dataset
    for child in inner:
        yield from leaf_datasets(child)


def _check_dataset(dataset: Any, split: str, channels: int = ADE20K_CLASSES) -> list[str] | None:
    """Check one dataset; the names of its class folders, if it has such."""
    kind = str(dataset.get("type")).split(".")[-1]
    root = Path(dataset.get("data_root") or "")
    if not root.is_dir():
        raise DataError(f"{split} data ({kind}): folder {root} does not exist. {WHERE}")
    if kind == "Pictures":
        list_pictures(root, str(root / dataset["ann_file"]) if dataset.get("ann_file") else "")
        return None
    ann_file = dataset.get("ann_file") or ""
    if kind == "ImageNet" and not ann_file and (root / "meta" / f"{dataset.get('split')}.txt").is_file():
        ann_file = f"meta/{dataset['split']}.txt"  # mmpretrain reads it if it is there
    if ann_file and not ((root / ann_file).is_file() and (root / ann_file).stat().st_size):
        raise DataError(f"{split} data ({kind}): annotation file {root / ann_file} does not exist or is empty. {WHERE}")
    prefix = dataset.get("data_prefix") or (dataset.get("split") if kind in CLASS_FOLDERS else "") or ""
    folders = {key: root / sub for key, sub in (prefix if isinstance(prefix, dict) else {"": prefix}).items()}
    for folder in folders.values():
        if not folder.is_dir():
            raise DataError(f"{split} data ({kind}): folder {folder} does not exist. {WHERE}")
        if next(files_under(folder), None) is None:
            raise DataError(f"{split} data ({kind}): folder {folder} holds no file. {WHERE}")
    if kind in SEGMENTATION and not ann_file and {"img_path", "seg_map_path"} <= folders.keys():
        suffixes = dataset.get("img_suffix", ".jpg"), dataset.get("seg_map_suffix", ".png")
        try:
            pairs = pictures_with_masks(folders["img_path"], folders["seg_map_path"], *suffixes)
        except DataError as error:
            raise DataError(f"{split} data: {error}") from None
        check_masks(dataset, pairs, split, channels)
    if kind == "CocoDataset" and ann_file:
        check_coco(dataset, root / ann_file, folders.get("img", root), split, _classes(dataset))
    if kind in CLASS_FOLDERS and not ann_file and dataset.get("with_label", True) and len(folders) == 1:
        return _check_classes(dataset, split, kind, next(iter(folders.values())))
    return None


def _check_one_batch(loader: Any) -> None:
    """At least one whole batch of pictures, where they are quickly counted; else mmengine trains epochs of nothing."""
    dataset = loader["dataset"]
    kind = str(dataset.get("type")).split(".")[-1]
    prefix, batch = dataset.get("data_prefix") or dataset.get("split") or "", loader["batch_size"]
    suffixes = _suffixes(dataset)
    if kind in SEGMENTATION and isinstance(prefix, dict):
        prefix, suffixes = prefix.get("img_path", ""), (dataset.get("img_suffix", ".jpg"),)
    elif kind == "Pictures":
        suffixes = OWN_SUFFIXES
    elif kind not in CLASS_FOLDERS:
        return
    if dataset.get("ann_file") or not isinstance(prefix, str):
        return
    folder = Path(dataset.get("data_root") or "") / prefix
    count = sum(1 for _ in islice(pictures_under(folder, suffixes), batch))
    if count < batch:
        raise DataError(
            f"train data: {count} pictures in {folder}, fewer than one batch of {batch}; with drop_last an epoch would "
            "be empty. Set a smaller train_dataloader.batch_size"
        )


def _check_classes(dataset: Any, split: str, kind: str, folder: Path) -> list[str]:
    """Class folders with a picture in each, and as many as the config names."""
    try:
        classes = class_folders(folder, _suffixes(dataset))
    except DataError as error:
        hint = "" if (dataset.get("metainfo") or {}).get("classes") or split != "train" else FLAT
        raise DataError(f"{split} data: {error}{hint}") from None
    given = (dataset.get("metainfo") or {}).get("classes")
    expected = len(given) if given else IMAGENET_CLASSES if kind == "ImageNet" else len(classes)
    if len(classes) != expected:
        raise DataError(
            f"{split} data: {len(classes)} class folders in {folder}; expected {expected}, each with that class's "
            "pictures"
        )
    return classes


def _classes(dataset: Any) -> Sequence[str]:
    """Names of a COCO dataset's classes: the config's, else COCO's 80."""
    if given := (dataset.get("metainfo") or {}).get("classes"):
        return tuple(given)
    from mmdet.datasets import CocoDataset

    return tuple(CocoDataset.METAINFO["classes"])


def _suffixes(dataset: Any) -> tuple[str, ...]:
    return tuple(suffix.lower() for suffix in dataset.get("extensions") or PICTURE_SUFFIXES)
