"""What a pre-training costs: parameters, counted FLOPs, stored activations, and GPU-days in proportion to MAE's.

One training step runs on fake tensors (shapes without numbers), so that the largest model is counted on a laptop.
"""

import logging
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from torch._subclasses.fake_tensor import FakeTensorMode

import mixedae.registry  # noqa: F401  # makes mmengine know the scope
from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.published import Published, PublishedRef
from mixedae.benchmark.plan.suites import BENCHMARK, load_suite
from mixedae.errors import ConfigError
from mixedae.files import ROOT
from mixedae.nodes import view_sizes
from mixedae.ops.counting import flop_counter, stored_activations
from mixedae.registry import MODELS

REFERENCE = "mae_vit-base-p16_8xb512-amp-coslr-300e_in1k"
"""The config whose published GPU-days all predictions are scaled from."""

PRETRAIN = BENCHMARK.parent / "pretrain"

ABLATIONS = [BENCHMARK / "suites" / f"{name}.yaml" for name in ("ablation", "ablation_open", "ablation_mae")]

ROWS = {
    REFERENCE: ("mixedae_table1", "MAE"),
    "mixedae_vit-base-p16_8xb512-amp-coslr-300e_in1k": ("mixedae_table1", "MixedAE"),
    "mixedae-full_vit-base-p16_8xb128-amp-coslr-300e_in1k": ("mixedae_table1", "MixedAE-Full"),
    "mixedae-full-light_vit-base-p16_8xb128-amp-coslr-300e_in1k": ("mixedae_table1", "MixedAE-Full*"),
    "ablation/neither": ("mixedae_table3a", "r = 0.25"),
    "ablation/neither_r50": ("mixedae_table3a", "r = 0.5"),
}
"""Recipe, named as in :func:`pretraining_configs`, to table and row of mm_configs/benchmark/published.yaml."""


@dataclass(frozen=True)
class StepCost:
    """One training step, forward and backward, divided by its images.

    Attributes:
        parameters: of the whole pre-training model, trained or not.
        forward_flops: floating point operations (a multiplication and an addition are two) of matrix products,
            convolutions and attention; nothing else is counted.
        flops: forward and backward.
        activation_bytes: what autograd stores between the two, in fp32, parameters left out, each storage once.
    """

    parameters: int
    forward_flops: float
    flops: float
    activation_bytes: float


def step_cost(model_cfg: dict[str, Any], img_size: int, loader: Any = None) -> StepCost:
    """Count one step of the model's loss and its gradient on a small batch, at fp32.

    Any method is counted by running it: on fake tensors, or on real ones where it looks at numbers.

    Args:
        model_cfg: the config's ``model``.
        img_size: of a square image.
        loader: ``train_dataloader``, whose pipeline says the views; None: the picture itself.
    """
    # Masks and shares are left out: drawing blocks, grids and unequal shares needs real numbers, and the number of
    # patches does not depend on them (but with unequal shares the decoder's last block computes a few unmasked ones).
    model_cfg = {key: value for key, value in model_cfg.items() if key not in ("masking", "shares")}
    init_default_scope("mmpretrain")
    logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)  # it logs what is caught below
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            return _count(model_cfg, img_size, loader)
    except (RuntimeError, NotImplementedError):  # it copies tensors, or looks at numbers: fake ones cannot
        return _count(model_cfg, img_size, loader)


def _count(model_cfg: dict[str, Any], img_size: int, loader: Any) -> StepCost:
    model: Any = MODELS.build(model_cfg)
    sizes = view_sizes(loader or {}) or [(img_size, img_size)]
    count = getattr(model, "group_size", 2)  # BatchNorm needs two
    views = [torch.empty(count, 3, *size).fill_(0.5) for size in sizes]
    samples = [_sample(model) for _ in range(count)]
    model.train()
    with flop_counter() as counter:
        with stored_activations(model) as kept:
            losses = model.loss(views if len(views) > 1 else views[0], samples)
            loss = sum(value for name, value in losses.items() if "loss" in name)
        forward = counter.get_total_flops()
        loss.backward()
    return StepCost(
        parameters=sum(p.numel() for p in model.parameters()),
        forward_flops=forward / count,
        flops=counter.get_total_flops() / count,
        activation_bytes=sum(size for _, size in kept.values()) / count,
    )


def _sample(model: Any) -> DataSample:
    """What pipelines give beside pictures: a label, and a mask of patches."""
    grid = getattr(model.backbone, "patch_resolution", (1, 1))
    return DataSample().set_gt_label(0).set_mask(torch.ones(*grid, dtype=torch.long))


def published_row(cfg: Config) -> PublishedRef | None:
    """The published pre-training that a config repeats: one whose recipe has the same ``model``.

    Args:
        cfg: of a pre-training.

    Returns:
        The row at the config's epochs, which the table may lack; None if no row has this model.
    """
    for name, (table, method) in ROWS.items():
        if _model(name) == cfg.model.to_dict():
            return PublishedRef(table=table, method=method, epochs=cfg.train_cfg.max_epochs)
    return None


@cache
def _model(name: str) -> dict[str, Any]:
    suite, _, row = name.rpartition("/")
    file = BENCHMARK / "suites" / f"{suite}.yaml" if suite else PRETRAIN / f"{row}.py"
    model: dict[str, Any] = pretraining_configs([file])[name].model.to_dict()
    return model


def gpu_days(published: Published, ref: PublishedRef | None) -> float | None:
    """What the paper prints for a row; None if it has no such row.

    Args:
        published: all tables.
        ref: of :func:`published_row`.
    """
    try:
        return published.row(ref)[1].gpu_days if ref else None
    except ConfigError:
        return None


def pretraining_configs(paths: list[Path]) -> dict[str, Config]:
    """Read configs of pre-trainings.

    Args:
        paths: config files, folders (all configs below them), and suites (``.yaml``: the config of each row).

    Returns:
        Name to config: a file's is its own without .py, that of a row with options is ``suite/row``.

    Raises:
        ConfigError: no such file, or nothing to count.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ConfigError(f"no config {path}; the recipes are in mm_configs/pretrain")
        files += sorted(path.rglob("*.py"), key=_natural) if path.is_dir() else [path]
    configs: dict[str, Config] = {}
    for file in files:
        configs |= _rows(file) if file.suffix == ".yaml" else {file.stem: Config.fromfile(file)}
    configs = {name: cfg for name, cfg in configs.items() if _is_pretraining(cfg)}
    if not configs:
        raise ConfigError(f"{', '.join(map(str, paths))}: no config of a pre-training found")
    return configs


def _is_pretraining(cfg: Config) -> bool:
    """Whether a config trains an encoder that starts from no checkpoint."""
    backbone = cfg.get("model", {}).get("backbone")
    return bool(backbone) and not (backbone.get("init_cfg") or {}).get("type")


def _rows(suite: Path) -> dict[str, Config]:
    """The pre-trainings of a suite; a row without options is its config file and has its name."""
    plan, found = load_suite(suite), {}
    read = cache(Config.fromfile)
    for row, pretraining in plan.pretrainings.items():
        if pretraining.config is not None:
            variant, path = plan.variant_of(Cell(row, None, plan.seeds[0]), None), ROOT / pretraining.config
            found[f"{plan.name}/{row}" if variant.options else path.stem] = variant.merge(read(path), path)[0]
    return found


def _natural(path: Path) -> list[str | int]:
    """Sort key that puts 300 before 1600: text and numbers in turn, numbers by value."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]
