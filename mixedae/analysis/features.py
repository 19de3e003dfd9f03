"""Features of all pictures in a folder, by any checkpoint that loads, as one file."""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from mmengine.config import ConfigDict
from mmengine.dataset import DefaultSampler, default_collate
from mmpretrain.registry import MODELS
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mixedae.analysis.checkpoints import Entry, load_encoder, parse_entries
from mixedae.datasets.pictures import Pictures
from mixedae.engine.probes.features import FOLDER, POOLS, cache_path, describe, features_of, read, write
from mixedae.errors import ConfigError, ImageSizeError
from mixedae.files import replacing
from mixedae.models.vit import patch_size
from mixedae.weights.reading import local_file

OF_A_RUN = ("last_checkpoint", "run_record.json", "progress.json")
"""What marks the folder of a run, whose config is taken. A script beside a downloaded file is not executed."""
SUFFIXES = (".npz", ".safetensors")
CROP = 0.875
"""The side of the crop, as a share of the short side that a picture is resized to: 224 of 256."""


@dataclass(frozen=True)
class Written:
    """What became of a folder.

    Attributes:
        features: (N, D), or (N, patches, D).
        images: N paths below the folder.
        seconds: spent on pictures; 0 if the features were in the cache.
    """

    features: Tensor
    images: tuple[str, ...]
    seconds: float


def write_features(
    checkpoint: str | Path,
    pictures: Path,
    out: Path,
    pool: str = "mean",
    size: int | None = None,
    batch_size: int = 32,
    config: Path | None = None,
) -> Written:
    """Compute features with the plain ViT of a checkpoint, in its evaluation mode, and write them.

    Pictures are resized (bicubic, short side 8/7 of the crop), cropped at the centre and normalised as the checkpoint's
    config says, or with ImageNet's values. Features are those after the last norm. ``.npz`` holds ``features`` and
    ``images``; ``.safetensors`` holds ``features``, and ``images`` as JSON in its metadata. Both say in ``header`` what
    the features depend on.

    Args:
        checkpoint: any ViT that loads.
        pictures: a folder, read at any depth; a list (``.txt``); or one picture.
        out: the file, by its suffix.
        pool: one of :data:`mixedae.engine.probes.features.POOLS`. ``mean`` is cached as the probes' features are.
        size: side of the crop in pixels, default the checkpoint's; positions are interpolated for another one.
        batch_size: pictures at a time.
        config: of the run that wrote the checkpoint, which says its number of heads. Default: the one in the run's
            folder; without a run the heads are those of the usual ViT of this width.

    Raises:
        ConfigError: another suffix or pool, or a ViT without the [CLS] token that is asked for.
        DataError: no pictures, or one that does not decode.
        WeightsError: the checkpoint does not load.
    """
    if out.suffix not in SUFFIXES:
        raise ConfigError(f"{out}: suffix {out.suffix!r} found; expected {' or '.join(SUFFIXES)}")
    if pool not in POOLS:
        raise ConfigError(f"pool {pool!r} found; expected {', '.join(POOLS)}")
    path = local_file(checkpoint)
    if config is None and any((path.parent / name).is_file() for name in OF_A_RUN):
        (entry,) = parse_entries([str(path)])
    else:
        entry = Entry(path.name, path, config)
    loaded = load_encoder(entry, need_cls=pool in ("cls", "both"))
    side, patch = size or loaded.model.img_size[0], patch_size(loaded.model)
    if side % patch:
        raise ImageSizeError(f"--size {side} found; patches of {patch} do not divide it. Give {side // patch * patch}")
    bicubic = dict(backend="pillow", interpolation="bicubic")
    pipeline: list[dict[str, Any]] = [
        dict(type="mixedae.LoadPicture"),
        dict(type="ResizeEdge", scale=round(side / CROP), edge="short", **bicubic),
        dict(type="CenterCrop", crop_size=side),
        dict(type="PackInputs"),
    ]
    is_list = pictures.suffix == ".txt"
    root = pictures.parent if is_list or pictures.is_file() else pictures
    dataset = Pictures(str(root if is_list else pictures), str(pictures) if is_list else "", pipeline)
    preprocessor = dict(type="ClsDataPreprocessor", mean=list(loaded.mean), std=list(loaded.std), to_rgb=True)
    model = nn.Module()
    model.backbone, model.data_preprocessor = loaded.model, MODELS.build(preprocessor)
    loader: DataLoader[Any] = DataLoader(
        dataset, batch_size, sampler=DefaultSampler(dataset, False), collate_fn=default_collate
    )
    backbone = dict(type=type(loaded.model).__name__, arch=loaded.model.arch_settings, img_size=loaded.model.img_size)
    cfg = ConfigDict(model=ConfigDict(backbone=backbone, data_preprocessor=preprocessor))
    runner: Any = SimpleNamespace(model=model, cfg=cfg)
    header = describe(runner, loader, dict(dataset=dict(type="mixedae.Pictures", pipeline=pipeline)), pool)
    cache = cache_path(FOLDER, header)
    features, seconds = (read(cache, header) if pool == "mean" else None), 0.0
    if features is None:
        began = time.perf_counter()
        features = _computed(model, loader, pool)
        seconds = time.perf_counter() - began
        if pool == "mean":
            write(cache, features, header)
    images = tuple(
        str(Path(info["img_path"]).relative_to(root)) for info in map(dataset.get_data_info, range(len(dataset)))
    )
    _write(out, features, images, {**header, "pool": pool})
    return Written(features, images, seconds)


def _computed(model: nn.Module, loader: DataLoader, pool: str) -> Tensor:
    columns = (TextColumn("features"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(file=sys.stderr)) as bar:
        task = bar.add_task("", total=len(loader.dataset), speed="")  # type: ignore[arg-type]

        def watch(count: int) -> None:
            bar.advance(task, count)
            bar.update(task, speed=f"{bar.tasks[0].speed or 0:.1f} pictures/s")

        return features_of(model, loader, pool, watch)


def _write(out: Path, features: Tensor, images: tuple[str, ...], header: dict[str, Any]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(header, sort_keys=True)
    with replacing(out) as temporary:
        if out.suffix == ".npz":
            with temporary.open("wb") as file:
                np.savez(file, features=features.numpy(), images=np.array(images), header=np.array(text))
        else:
            metadata = {"images": json.dumps(images), "header": text}
            temporary.write_bytes(save({"features": features.contiguous()}, metadata))
