"""What the harness costs a training: an epoch of the mini recipe as it stands, and by mmengine's bare Runner."""

import copy
import tempfile
from collections.abc import Callable
from itertools import count
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner

import mixedae.models  # noqa: F401  # registers what the recipe names
from mixedae.engine import StrictRunner
from mixedae.engine.console import quiet_console
from mixedae.errors import ConfigError
from mixedae.files import ROOT
from mixedae.perf.report import Row
from mixedae.perf.timing import interleave

RECIPE = "mm_configs/mini/pretrain/mae_vit-mini-p8_1xb64-coslr-15e_mini.py"
STEPS = 40
NUMBER = count()


def measure_training(rounds: int, device: torch.device) -> list[Row]:
    """Time one epoch of 40 steps, from building the Runner to its checkpoint.

    The baseline has neither the harness's hooks nor its runner and loops; model, data and optimizer are the same.

    Args:
        rounds: how often each is timed.
        device: where training runs, by mmengine's choice.

    Raises:
        ConfigError: there is no mini data (tools/data.py mini writes it).
    """
    quiet_console("ERROR")
    cfg = Config.fromfile(ROOT / RECIPE)
    if not (ROOT / cfg.train_dataloader.dataset.data_root).is_dir():
        raise ConfigError(
            f"{cfg.train_dataloader.dataset.data_root} does not exist; python tools/data.py mini writes it"
        )
    cfg.train_cfg.max_epochs = 1
    cfg.param_scheduler = []
    cfg.train_dataloader.dataset.indices = STEPS * cfg.train_dataloader.batch_size
    cfg.pop("runner_type")
    bare = copy.deepcopy(cfg)
    bare.custom_hooks = []
    bare.auto_scale_lr = None
    candidates = {"mmengine's Runner": _run(Runner, bare), "the recipe as it stands": _run(StrictRunner, cfg)}
    return interleave(candidates, device, rounds, case=f"1 epoch, {STEPS} steps")


def _run(kind: type[Runner], cfg: Any) -> Callable[[], None]:
    def train() -> None:
        with tempfile.TemporaryDirectory() as folder:
            own = copy.deepcopy(cfg)
            own.work_dir, own.experiment_name = folder, f"perf_{next(NUMBER)}"
            kind.from_cfg(own).train()

    return train
