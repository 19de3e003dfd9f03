"""A tiny training in which everything draws: pictures from three generators, dropout and noise in the model."""

import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, MODELS
from torch import nn
from torch.utils.data import Dataset

from mixedae.engine import StrictRunner
from tests.engine.conftest import toy_config

FORK = multiprocessing.get_context("fork")


@DATASETS.register_module(force=True)
class DrawingData(Dataset):
    """Three numbers per picture, one from each generator that transforms use, and the picture's index."""

    metainfo = {"classes": ("a",)}

    def __init__(self, length: int = 14) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        drawn = [random.random(), np.random.rand(), torch.rand(()).item()]
        return {"inputs": torch.tensor([*drawn, float(index)])}


@MODELS.register_module(force=True)
class DrawingModel(BaseModel):
    """Dropout, noise, and a shuffle of the batch; BatchNorm has a state of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(0.3), nn.Linear(8, 1))

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "tensor") -> Any:
        x = torch.stack(inputs)
        if mode == "predict":
            return [{"y": value} for value in self.net(x).detach()]
        x = x + 0.1 * torch.randn_like(x) + float(np.random.rand()) * x[torch.randperm(len(x))] + random.random()
        return {"loss": self.net(x).square().mean()}


@HOOKS.register_module(force=True)
class KillHook(Hook):
    """kill -9 of the own process after a step.

    Args:
        step: iterations done then.
        number: of the signal.
    """

    def __init__(self, step: int, number: int = signal.SIGKILL) -> None:
        self.step, self.number = step, number

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        if runner.iter + 1 == self.step:
            os.kill(os.getpid(), self.number)


def drawing_config(
    folder: Path, by_epoch: bool, workers: int, persistent: bool, kill: int | None = None, **changes: Any
) -> Config:
    """7 iterations per epoch, 3 epochs, or 20 iterations; a checkpoint every third iteration, which cuts epochs."""
    cfg = toy_config(folder, by_epoch)
    cfg.merge_from_dict(
        {
            "model": {"_delete_": True, "type": "DrawingModel"},
            "train_dataloader.dataset": {"_delete_": True, "type": "DrawingData"},
            "train_dataloader.batch_size": 2,
            "train_dataloader.num_workers": workers,
            "train_dataloader.persistent_workers": persistent,
            "val_dataloader.dataset": {"_delete_": True, "type": "DrawingData", "length": 3},
            "default_hooks.checkpoint": {"type": "CheckpointHook", "interval": 3, "by_epoch": False},
            "auto_scale_lr.base_batch_size": 2,
        }
    )
    if not by_epoch:
        cfg.train_cfg.max_iters = 20
    if kill is not None:
        cfg.custom_hooks.append({"type": "KillHook", "step": kill})
    cfg.merge_from_dict(changes)
    cfg.experiment_name = f"drawing{folder.name}{kill}{len(list(folder.glob('*')))}"
    return cfg


def train(cfg: Config) -> int | None:
    """Train in a process of its own.

    Returns:
        Its exit status, negative for a signal.
    """
    process = FORK.Process(target=_train, args=(cfg,))
    process.start()
    process.join(120)
    return process.exitcode


def _train(cfg: Config) -> None:
    from mixedae.command_line import run

    run(lambda: StrictRunner.from_cfg(cfg).train())
