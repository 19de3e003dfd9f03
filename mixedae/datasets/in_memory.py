"""A small dataset of pictures of one size, decoded once and kept whole: in memory, or on the GPU that trains."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import get_local_size
from mmengine.logging import print_log
from mmpretrain.datasets import CustomDataset
from torch import Tensor
from torch.utils.data import get_worker_info

from mixedae.datasets.transforms import read_tensor
from mixedae.errors import ConfigError, DataError
from mixedae.registry import DATASETS

RESERVE = 0.8  # of what is free: the model, or the rest of the machine, needs some too


@DATASETS.register_module()
class PicturesInMemory(CustomDataset):
    """Unlabelled pictures as one uint8 tensor; batches are augmented by ``mixedae.CropPreprocessor``.

    For pre-training. Every process of a node keeps its own copy; workers that a loader forks read their parent's, but
    need not be: with ``num_workers=0`` nothing is left to wait for.

    Args:
        place: ``model``: on the device that trains (default); ``cpu``: in the machine's memory.
        **kwargs: see ``mmpretrain.CustomDataset``; without a pipeline. Labels, if it finds some, are left behind.

    Raises:
        ConfigError: unknown ``place``, or a pipeline.
        DataError: no picture, pictures of several sizes, a damaged one, or more of them than memory is free.
    """

    def __init__(self, place: str = "model", **kwargs: Any) -> None:
        if place not in ("model", "cpu"):
            raise ConfigError(f"place={place!r} found; expected 'model' or 'cpu'")
        if kwargs.get("pipeline"):
            raise ConfigError("PicturesInMemory runs no pipeline; set mixedae.CropPreprocessor as data_preprocessor")
        self.device = torch.device(get_device() if place == "model" else "cpu")
        self.pictures: Tensor | None = None
        super().__init__(**kwargs)

    def full_init(self) -> None:
        """List the files, as mmpretrain does, then decode all of them."""
        super().full_init()
        if self.pictures is None:
            self.pictures = load_pictures([self.get_data_info(i)["img_path"] for i in range(len(self))], self.device)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One picture, ``inputs``: uint8 (3, H, W), channels blue first, as OpenMMLab's preprocessors expect.

        Raises:
            ConfigError: a loader's worker asks for a picture that lies on a GPU.
        """
        if self.device.type != "cpu" and get_worker_info() is not None:
            raise ConfigError(
                f"num_workers > 0 found; expected 0: the pictures lie on {self.device}, out of their reach"
            )
        self.full_init()
        assert self.pictures is not None
        return {"inputs": self.pictures[index]}


def load_pictures(paths: list[str], device: torch.device) -> Tensor:
    """Decode pictures of one size into one tensor.

    Args:
        paths: of the files.
        device: where the tensor goes.

    Returns:
        uint8 (N, 3, H, W), channels blue first.

    Raises:
        DataError: no path, a picture that cannot be read or has another size than the first, too little memory.
    """
    if not paths:
        raise DataError("no picture to load; expected one at least")
    first = _decode(paths[0])
    needed = len(paths) * first.numel()
    for where in {torch.device("cpu"), device}:
        free = free_memory(where)
        if where.type == "cpu":  # every process of this machine loads its own at the same time
            free //= get_local_size()
        if needed > RESERVE * free:
            raise DataError(
                f"{len(paths)} pictures of {first.shape[2]} x {first.shape[1]} pixels take {needed / 2**30:.1f} GB "
                f"decoded; of {where}'s memory {free / 2**30:.1f} GB are free, of which {RESERVE:.0%} may be taken. "
                "Take a recipe that reads files, or fewer pictures (train_dataloader.dataset.indices)"
            )
    pictures = torch.empty(len(paths), *first.shape, dtype=torch.uint8)

    def load(index: int) -> None:
        picture = _decode(paths[index])
        if picture.shape != first.shape:
            raise DataError(
                f"{paths[index]} has {picture.shape[2]} x {picture.shape[1]} pixels, {paths[0]} has "
                f"{first.shape[2]} x {first.shape[1]}; pictures in memory have one size"
            )
        pictures[index] = picture

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        list(pool.map(load, range(len(paths))))
    print_log(f"{len(paths)} pictures decoded, {needed / 2**20:.0f} MB on {device}", logger="current")
    return pictures.to(device)


def _decode(path: str) -> Tensor:
    return read_tensor(path).flip(0)


def free_memory(device: torch.device) -> int:
    """Bytes free on a GPU, or what Linux calls available (on other systems all that the machine has)."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo") as lines:
            table = dict(line.split(":", 1) for line in lines)
        return int(table["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
