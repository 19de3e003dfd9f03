"""A toy training run through the real mmengine Runner."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS, DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import Tensor, nn
from torch.utils.data import Dataset


@MODELS.register_module(force=True)
class ToyModel(BaseModel):
    """Linear regression with two loss components.

    ``bad[i] = (name, factor)`` spoils a component in iteration i (from 1); a backbone that is given only has
    parameters.
    """

    def __init__(self, bad: dict | None = None, batch_norm: bool = False, backbone: dict | None = None) -> None:
        super().__init__()
        self.backbone = None if backbone is None else MODELS.build(backbone)
        self.linear = nn.Linear(2, 1)
        self.norm = nn.BatchNorm1d(1) if batch_norm else nn.Identity()
        self.bad = {int(key): value for key, value in (bad or {}).items()}
        self.calls = 0

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "tensor") -> Any:
        x = torch.stack(inputs) if isinstance(inputs, list) else inputs
        y = self.norm(self.linear(x))
        if mode == "predict":
            return [{"y": value} for value in y.detach()]
        self.calls += 1
        name, value = self.bad.get(self.calls, ("", 1.0))
        losses = {"loss_a": y.square().mean(), "loss_b": (y - 1).square().mean(), "accuracy": y.detach().mean()}
        if name:
            losses[name] = losses[name] * float(value)
        return losses


@DATASETS.register_module(force=True)
class ToyData(Dataset):
    metainfo = {"classes": ("a",)}

    def __init__(self, length: int = 16) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        if index >= self.length:
            raise IndexError
        return {"inputs": torch.randn(2, generator=torch.Generator().manual_seed(index))}


@METRICS.register_module(force=True)
class ToyMetric(BaseMetric):
    default_prefix = "toy"

    def process(self, data_batch: Any, data_samples: list[dict[str, Tensor]]) -> None:
        self.results += [sample["y"].item() for sample in data_samples]

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return {"mean": np.float32(sum(results) / len(results)), "n": len(results)}


HOOKS = ("NonFiniteLossHook", "EffectiveBatchHook", "ProgressHook", "RunRecordHook")


def toy_config(work_dir: Path, by_epoch: bool = True, **changes: Any) -> Config:
    """4 iterations of 4 pictures an epoch; 3 epochs, or 10 iterations."""
    loader = {"num_workers": 0, "persistent_workers": False}
    cfg = Config(
        {
            "model": {"type": "ToyModel"},
            "work_dir": str(work_dir),
            "custom_imports": {"imports": ["mixedae.registry"], "allow_failed_imports": False},
            "train_dataloader": {
                **loader,
                "dataset": {"type": "ToyData"},
                "sampler": {"type": "DefaultSampler" if by_epoch else "InfiniteSampler", "shuffle": True},
                "batch_size": 4,
            },
            "val_dataloader": {
                **loader,
                "dataset": {"type": "ToyData", "length": 7},
                "sampler": {"type": "DefaultSampler", "shuffle": False},
                "batch_size": 2,
            },
            "val_cfg": {},
            "val_evaluator": {"type": "ToyMetric"},
            "train_cfg": {"by_epoch": True, "max_epochs": 3, "val_interval": 2}
            if by_epoch
            else {"by_epoch": False, "max_iters": 10, "val_interval": 5},
            "optim_wrapper": {
                "optimizer": {"type": "AdamW", "lr": 0.01, "weight_decay": 0.05},
                "constructor": "mixedae.LearningRateDecayOptimWrapperConstructor",
            },
            "param_scheduler": [
                {"type": "LinearLR", "start_factor": 0.1, "begin": 0, "end": 2, "by_epoch": False},
                {"type": "CosineAnnealingLR", "begin": 2, "eta_min": 0.0, "by_epoch": False},
            ],
            "default_hooks": {
                "logger": {"type": "LoggerHook", "interval": 2, "log_metric_by_epoch": by_epoch},
                "checkpoint": {"type": "CheckpointHook", "interval": 1 if by_epoch else 2, "by_epoch": by_epoch},
            },
            "custom_hooks": [{"type": f"mixedae.{name}"} for name in HOOKS],
            "log_processor": {"by_epoch": by_epoch},
            "randomness": {"seed": 0},
            "auto_scale_lr": {"base_batch_size": 4, "enable": True},
        }
    )
    cfg.merge_from_dict(changes)
    return cfg


@pytest.fixture
def make_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Runner]]:
    """Build a toy runner in ``tmp_path``, of the class ``kind``; changes are dotted config keys."""
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)  # it asks compilers for their versions, slowly

    def make(by_epoch: bool = True, work_dir: Path = tmp_path, kind: type[Runner] = Runner, **changes: Any) -> Runner:
        cfg = toy_config(work_dir, by_epoch, **{key.replace("__", "."): value for key, value in changes.items()})
        cfg.experiment_name = f"toy{len(MMLogger._instance_dict)}"
        return kind.from_cfg(cfg)

    yield make
    for logger in MMLogger._instance_dict.values():
        for handler in logger.handlers:
            handler.close()
    for manager in (MMLogger, MessageHub, Visualizer, DefaultScope):
        manager._instance_dict.clear()
