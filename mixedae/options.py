"""Options of a config: dotted keys merged over it. ``base_lr`` also sets the learning rate that follows from it."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixedae.errors import ConfigError

if TYPE_CHECKING:
    from mmengine.config import Config

BASE_LR = "base_lr"
BASE_LR_IMAGES = 256  # a base learning rate is for a batch of this many images (arXiv 1706.02677)
LR = "optim_wrapper.optimizer.lr"


def merge_options(cfg: "Config", options: Mapping[str, Any], path: str | Path) -> None:
    """Merge options over a config, as ``--cfg-options`` does.

    ``base_lr``, a variable that mmengine would change without any effect, also sets ``optim_wrapper.optimizer.lr``:
    base_lr * batch / 256, with the batch that the recipe's learning rate is for (``auto_scale_lr.base_batch_size``).

    Args:
        cfg: the config, which is changed.
        options: dotted key to value.
        path: the config's, for messages.

    Raises:
        ConfigError: ``base_lr`` is given, but the config's learning rate does not follow from one.
    """
    if not any(key.startswith("param_scheduler") for key in options):
        options = {**_moved_ends(cfg, options), **options}
    if BASE_LR not in options:
        cfg.merge_from_dict(dict(options))
        return
    if LR in options:
        raise ConfigError(f"{path}: the options set both {BASE_LR} and {LR}, which follows from it; leave one out")
    _check_follows(cfg, path)
    cfg.merge_from_dict(dict(options))
    batch = cfg.auto_scale_lr.base_batch_size
    cfg.merge_from_dict({LR: options[BASE_LR] * batch / BASE_LR_IMAGES})


def _moved_ends(cfg: "Config", options: Mapping[str, Any]) -> dict[str, Any]:
    """Schedules that ended with the run end with it again, if the options change its length.

    Args:
        cfg: the config, not changed yet.
        options: that will be merged over it.

    Returns:
        Options for ``param_scheduler``.
    """
    moved: dict[str, Any] = {}
    schedulers = cfg.get("param_scheduler") or []
    for key, by_epoch in (("max_epochs", True), ("max_iters", False)):
        before, after = (cfg.get("train_cfg") or {}).get(key), options.get(f"train_cfg.{key}")
        if not (before and after) or before == after:
            continue
        for i, scheduler in enumerate(schedulers if isinstance(schedulers, list | tuple) else []):
            begin = scheduler.get("begin", 0)
            if bool(scheduler.get("by_epoch", True)) is not by_epoch or begin >= after:
                continue
            if scheduler.get("end") == before:
                moved[f"param_scheduler.{i}.end"] = after
            if scheduler.get("T_max") == before - begin:
                moved[f"param_scheduler.{i}.T_max"] = after - begin
    return moved


def _check_follows(cfg: "Config", path: str | Path) -> None:
    """Refuse a config whose learning rate was not computed from ``base_lr``, or from which more was computed."""
    base_lr = cfg.get(BASE_LR)
    batch = (cfg.get("auto_scale_lr") or {}).get("base_batch_size")
    lr = ((cfg.get("optim_wrapper") or {}).get("optimizer") or {}).get("lr")
    if base_lr is None or batch is None or lr != base_lr * batch / BASE_LR_IMAGES:
        raise ConfigError(
            f"{path}: the learning rate {lr} does not follow from {BASE_LR} {base_lr} and the batch {batch} by "
            f"{BASE_LR} * batch / {BASE_LR_IMAGES}; set {LR} instead"
        )
    schedulers = cfg.get("param_scheduler") or []
    for scheduler in schedulers if isinstance(schedulers, list | tuple) else [schedulers]:
        if "eta_min_ratio" in scheduler:
            raise ConfigError(
                f"{path}: the schedule's eta_min_ratio was computed from the learning rate and would not follow "
                f"{BASE_LR}; set {LR} and eta_min_ratio instead"
            )


def as_arguments(options: Mapping[str, Any], path: str | Path) -> list[str]:
    """Options as the words ``KEY=VALUE`` that follow ``--cfg-options``.

    Args:
        options: dotted key to value.
        path: the config's, for messages.

    Raises:
        ConfigError: mmengine would read a value back as another one.
    """
    from mmengine.config import DictAction

    words = [f"{key}={value}" for key, value in options.items()]
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, default={})
    read = parser.parse_args(["--cfg-options", *words]).cfg_options if words else {}
    for key, value in options.items():
        if read[key] != value or type(read[key]) is not type(value):
            raise ConfigError(
                f"{path}: the option {key}={value!r} would be read as {read[key]!r}; write numbers as 8.0e-3, not "
                "8e-3, and set what --cfg-options cannot say in a config file of its own"
            )
    return words
