"""Reading a leaf's recipe for the tests: its model without memory, parameter groups, learning rate over time."""

import re
from copy import deepcopy
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, DefaultScope
from mmengine.runner import Runner
from torch import nn

from mixedae.files import ROOT

CONFIGS = ROOT / "mm_configs"
METRICS = {"mmpretrain": ["accuracy/top1"], "mmseg": ["mIoU"]}


@cache
def load(name: str) -> Config:
    """The resolved config of a leaf, by its path below mm_configs/ without suffix."""
    return Config.fromfile(CONFIGS / f"{name}.py")


def upstream(package: str, path: str) -> Config:
    """A config of mmpretrain, mmseg or mmdet, out of its wheel."""
    (folder,) = find_spec(package).submodule_search_locations
    return Config.fromfile(Path(folder) / ".mim" / "configs" / path)


def build_on_meta(cfg: Config, device: str = "meta") -> nn.Module:
    """The model that a config names, without memory for its parameters (mmseg's MAE must be built on the CPU)."""
    with torch.device(device), DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = {"data_preprocessor": cfg.get("data_preprocessor"), **cfg.model}
        return MODELS.build(model)


def parameter_groups(cfg: Config, model: nn.Module) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each parameter, as the config's constructor sets them."""
    wrapper = build_optim_wrapper(model, {**cfg.optim_wrapper, "type": "OptimWrapper"})  # Amp's asks for a GPU
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in wrapper.optimizer.param_groups
        for parameter in group["params"]
    }


def learning_rates(cfg: Config, scales: tuple[float, ...], epoch_length: int = 1) -> list[list[float]]:
    """The learning rate at every iteration, of one group for each of ``scales``, from the config's own schedulers."""
    lr = cfg.optim_wrapper.optimizer.lr
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr * scale} for scale in scales]
    optimizer = torch.optim.SGD(groups, lr=lr)
    by_epoch = "max_epochs" in cfg.train_cfg
    last = cfg.train_cfg.max_epochs if by_epoch else cfg.train_cfg.max_iters
    schedulers = [
        # Runner fills in an end that is not given
        PARAM_SCHEDULERS.build({"end": last, **s}, default_args=dict(optimizer=optimizer, epoch_length=epoch_length))
        for s in cfg.param_scheduler
    ]
    rates = []
    for _ in range(last * epoch_length if by_epoch else last):
        rates.append([group["lr"] for group in optimizer.param_groups])
        for scheduler in schedulers:
            scheduler.step()
    return rates


def batch_in_name(name: str) -> int | None:
    """Processes x images, as the file's name has it."""
    found = re.search(r"_(\d+)xb(\d+)-", name)
    return int(found[1]) * int(found[2]) if found else None


def leaves(*folders: str) -> list[str]:
    """Every leaf in folders below mm_configs/."""
    return sorted(str(p.relative_to(CONFIGS).with_suffix("")) for f in folders for p in (CONFIGS / f).glob("*.py"))


def find(pipeline: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The one transform of a type."""
    (transform,) = [t for t in pipeline if t["type"] == kind]
    return transform


def train_two_steps(cfg: Config, work_dir: Path, data_root: Path, batch_size: int = 4) -> dict[str, float]:
    """Train a copy of a leaf for two steps from random weights, validate on four pictures; the metrics."""
    cfg = deepcopy(cfg)
    cfg.work_dir, cfg.custom_hooks, cfg.train_cfg.max_epochs = str(work_dir), [], 1
    cfg.param_scheduler = []  # at the peak: a warm-up's first step moves no LayerNorm in fp32
    cfg.model.backbone.init_cfg.checkpoint = "random"
    cfg.train_dataloader.batch_size = batch_size
    for loader, count in ((cfg.train_dataloader, 2 * batch_size), (cfg.val_dataloader, 4)):
        loader.dataset.update(data_root=str(data_root), indices=count)
    runner = Runner.from_cfg(cfg)
    before = {name: p.detach().clone() for name, p in runner.model.named_parameters()}
    runner.train()
    assert runner.iter == 2
    still = [name for name, p in runner.model.named_parameters() if torch.equal(p, before[name])]
    assert not still, f"not trained: {still}"
    assert all(torch.isfinite(p).all() for p in runner.model.parameters())
    return {name: runner.message_hub.get_scalar(f"val/{name}").current() for name in METRICS[cfg.default_scope]}
