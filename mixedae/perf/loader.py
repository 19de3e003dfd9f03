"""Decoding and augmentation of the same files: our pre-training recipe, mmpretrain's pipeline, torchvision, timm."""

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import Compose, default_collate
from mmengine.registry import init_default_scope
from mmpretrain.models import SelfSupDataPreprocessor
from torch import nn
from torchvision import transforms as T
from torchvision.datasets import ImageFolder

import mixedae.registry  # noqa: F401
from mixedae.datasets.in_memory import load_pictures
from mixedae.errors import DataError
from mixedae.models import CropPreprocessor
from mixedae.perf.report import Row
from mixedae.perf.timing import interleave

AREA = (0.2, 1.0)
BATCH = 64  # pictures in memory that are augmented at once
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pipelines(size: int) -> dict[str, Callable[[str], Any]]:
    """Functions from a path to what a loader's worker hands over, each with the augmentation of MAE's pre-training.

    Args:
        size: side of a crop in pixels.
    """
    from timm.data import create_transform
    from torchvision.datasets.folder import default_loader

    init_default_scope("mmpretrain")
    crop = dict(scale=size, crop_ratio_range=AREA)
    ours = Compose([dict(type="mixedae.LoadRandomResizedCrop", **crop), dict(type="PackInputs")])
    pillow = Compose(
        [
            dict(type="LoadImageFromFile", imdecode_backend="pillow"),
            dict(type="RandomResizedCrop", backend="pillow", interpolation="bicubic", **crop),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackInputs"),
        ]
    )
    bicubic = T.InterpolationMode.BICUBIC
    official = T.Compose(
        [
            T.RandomResizedCrop(size, scale=AREA, interpolation=bicubic),
            T.RandomHorizontalFlip(),
            T.ToTensor(),
            T.Normalize(MEAN, STD),
        ]
    )
    timm = create_transform(size, is_training=True, scale=AREA, color_jitter=None, interpolation="bicubic")
    return {
        "torchvision ImageFolder": lambda path: official(default_loader(path)),
        "timm": lambda path: timm(default_loader(path)),
        "mmpretrain, Pillow": lambda path: pillow(dict(img_path=path)),
        "ours": lambda path: ours(dict(img_path=path)),
    }


def training_input(paths: list[str], size: int) -> dict[str, Callable[[], None]]:
    """What one process does from stored pictures to a model's input batches: from files, and from memory.

    Args:
        paths: pictures of one size.
        size: side of a crop in pixels.

    Returns:
        Functions that go through all pictures once, in random order.

    Raises:
        DataError: the pictures have several sizes, or do not fit into memory.
    """
    normalise: dict[str, Any] = dict(mean=MEAN, std=STD, to_rgb=True)
    pictures = load_pictures(paths, torch.device("cpu"))
    pipeline = Compose(
        [dict(type="mixedae.LoadRandomResizedCrop", scale=size, crop_ratio_range=AREA), dict(type="PackInputs")]
    )
    usual, augment = SelfSupDataPreprocessor(**normalise), CropPreprocessor(size, AREA, **normalise)

    def work(item: Callable[[int], dict], preprocess: nn.Module) -> None:
        for chunk in torch.randperm(len(paths)).split(BATCH):
            preprocess(default_collate([item(index) for index in chunk.tolist()]), True)

    return {
        "ours, to the model": lambda: work(lambda i: pipeline(dict(img_path=paths[i])), usual),
        "ours, to the model, in memory": lambda: work(lambda i: dict(inputs=pictures[i]), augment),
    }


def measure_loaders(folder: Path, images: int, rounds: int, size: int = 224) -> list[Row]:
    """Time one core's work on the first ``images`` files of each class in turn, read from the disk's cache.

    Args:
        folder: of classes, with JPEGs.
        images: how many per round.
        rounds: see :func:`~mixedae.perf.timing.interleave`.
        size: side of a crop in pixels.

    Raises:
        DataError: no folder of classes with pictures.
    """
    try:
        samples = ImageFolder(str(folder)).samples
    except (FileNotFoundError, OSError) as error:
        raise DataError(f"{folder}: {error}; expected <folder>/<class>/*.jpg") from error
    step = max(1, len(samples) // images)
    paths = [path for path, _ in samples[::step][:images]]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a loader's worker

    def work(pipeline: Callable[[str], Any]) -> None:
        for path in paths:
            pipeline(path)

    candidates: dict[str, Callable[[], None]] = {
        name: functools.partial(work, pipeline) for name, pipeline in pipelines(size).items()
    }
    with contextlib.suppress(DataError):  # only pictures of one size can be in memory
        candidates |= training_input(paths, size)
    rows = interleave(candidates, torch.device("cpu"), rounds, warmup=1, case=f"{len(paths)} files of {folder.name}")
    torch.set_num_threads(threads)
    for row in rows:
        row.extra["images_per_s_a_core"] = len(paths) / row.seconds
        row.extra["speed"] = 1 / row.ratio  # images per second, divided by torchvision's
    return rows
