"""What a pre-training costs: parameters, counted FLOPs, stored activations, and GPU-days in proportion to MAE's.

One training step runs on fake tensors (shapes without numbers), so that the largest model is counted on a laptop.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch._subclasses.fake_tensor import FakeTensorMode

import mixedae.registry  # noqa: F401  # makes mmengine know the scope
from mixedae.benchmark.plan.published import Published, PublishedRef
from mixedae.benchmark.plan.suites import BENCHMARK
from mixedae.errors import ConfigError
from mixedae.ops.counting import flop_counter, stored_activations
from mixedae.registry import MODELS

REFERENCE = "mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py"
"""The config whose published GPU-days all predictions are scaled from."""

PRETRAIN = BENCHMARK.parent / "pretrain"

ROWS = {
    REFERENCE: ("mixedae_table1", "MAE"),
    "mixedae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py": ("mixedae_table1", "MixedAE"),
    "mixedae-full_vit-base-p16_8xb128-amp-coslr-300e_in1k.py": ("mixedae_table1", "MixedAE-Full"),
    "mixedae-full-light_vit-base-p16_8xb128-amp-coslr-300e_in1k.py": ("mixedae_table1", "MixedAE-Full*"),
    "ablation/mixedae_plain_no-contrast.py": ("mixedae_table3a", "r = 0.25"),
    "ablation/mixedae_plain_no-contrast_r-0.5.py": ("mixedae_table3a", "r = 0.5"),
}
"""Recipe to table and row of mm_configs/benchmark/published.yaml."""


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


def step_cost(model_cfg: dict[str, Any], img_size: int) -> StepCost:
    """Count one step of ``model.loss`` and its gradient on the smallest batch, one group, at fp32.

    Args:
        model_cfg: the config's ``model``.
        img_size: of a square image.
    """
    # Which patches are shown does not change how many (but with unequal shares the decoder's last block computes a few
    # more than are masked); drawing blocks, grids and unequal shares needs real numbers.
    model_cfg = {key: value for key, value in model_cfg.items() if key not in ("masking", "shares")}
    init_default_scope("mmpretrain")
    with FakeTensorMode(allow_non_fake_inputs=True):
        model: Any = MODELS.build(model_cfg)
        images = torch.empty(getattr(model, "group_size", 1), 3, img_size, img_size)
        model.train()
        with flop_counter() as counter:
            with stored_activations(model) as kept:
                loss = sum(model.loss(images).values())
            forward = counter.get_total_flops()
            loss.backward()
    count = len(images)
    return StepCost(
        parameters=sum(p.numel() for p in model.parameters()),
        forward_flops=forward / count,
        flops=counter.get_total_flops() / count,
        activation_bytes=sum(size for _, size in kept.values()) / count,
    )


def published_row(cfg: Config) -> PublishedRef | None:
    """The published pre-training that a config repeats: its ``model`` is that of the row's own recipe.

    Args:
        cfg: of a pre-training.

    Returns:
        The row at the config's epochs, which the table may lack; None for a model of no row.
    """
    for file, (table, method) in ROWS.items():
        if _model(file) == cfg.model.to_dict():
            return PublishedRef(table=table, method=method, epochs=cfg.train_cfg.max_epochs)
    return None


@cache
def _model(file: str) -> dict[str, Any]:
    model: dict[str, Any] = Config.fromfile(PRETRAIN / file).model.to_dict()
    return model


def gpu_days(published: Published, ref: PublishedRef | None) -> float | None:
    """What the paper prints for a row; None where it has no such row.

    Args:
        published: all tables.
        ref: of :func:`published_row`.
    """
    try:
        return published.row(ref)[1].gpu_days if ref else None
    except ConfigError:
        return None


def pretraining_configs(paths: list[Path]) -> dict[str, Config]:
    """Read configs, or all below folders, that build a MAE or MixedAE.

    Args:
        paths: files and folders.

    Returns:
        Name (without .py) to config.

    Raises:
        ConfigError: no such file, or nothing to count.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ConfigError(f"no config {path}; the recipes are in mm_configs/pretrain")
        files += sorted(path.rglob("*.py"), key=_natural) if path.is_dir() else [path]
    configs = {file.stem: Config.fromfile(file) for file in files}
    configs = {
        name: cfg for name, cfg in configs.items() if cfg.get("model", {}).get("type", "").startswith("mixedae.M")
    }
    if not configs:
        raise ConfigError(f"{', '.join(map(str, paths))}: no config of a pre-training (mixedae.MAE, mixedae.MixedAE)")
    return configs


def _natural(path: Path) -> list[str | int]:
    """300 before 1600; digits and other text alternate, so that like is compared with like."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]
