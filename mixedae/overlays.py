"""What may be merged over a config: its own overlays, and options that something reads. No torch.

An overlay is a variable of a config that holds nothing but keys of mmengine's Runner, such as ``selection``.
"""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mixedae.errors import ConfigError
from mixedae.options import BASE_LR
from mixedae.wording import nearest

if TYPE_CHECKING:
    from mmengine.config import Config

# What mmengine's Runner reads of a config, from mmengine/runner/runner.py (0.10.12).
RUNNER_KEYS = frozenset(
    """model work_dir train_dataloader val_dataloader test_dataloader train_cfg val_cfg test_cfg auto_scale_lr
    optim_wrapper param_scheduler val_evaluator test_evaluator default_hooks custom_hooks data_preprocessor load_from
    resume launcher env_cfg log_processor log_level visualizer default_scope randomness experiment_name
    model_wrapper_cfg sync_bn runner_type find_unused_parameters activation_checkpointing efficient_conv_bn_eval
    compile allow_change unreadable_share""".split()  # noqa: SIM905
)


def overlays_of(cfg: "Config") -> list[str]:
    """Names of the variables of a config that can be merged over it: dicts of nothing but what Runner reads."""
    return [
        name
        for name, value in cfg.items()
        if name not in RUNNER_KEYS and isinstance(value, dict) and value and set(value) <= RUNNER_KEYS
    ]


def merge_overlays(cfg: "Config", names: Iterable[str], path: str | Path) -> None:
    """Merge variables of a config over it, in order, each as it stands in the file.

    Args:
        cfg: the config, which is changed.
        names: such as ``selection``.
        path: the config's, for the message.

    Raises:
        ConfigError: the config has no such overlay.
    """
    known = overlays_of(cfg)
    for name in names:
        if name not in known:
            raise ConfigError(f"{path} has no overlay `{name}`; {nearest(name, known)}")
        cfg.merge_from_dict(copy.deepcopy(cfg[name].to_dict()))  # merging takes `_delete_` out of what it is given


def check_options(options: dict, keys: set[str]) -> None:
    """Refuse an option whose first part Runner does not read: mmengine would take it and change nothing.

    Args:
        options: --cfg-options.
        keys: top-level keys of the config.

    Raises:
        ConfigError: names the option.
    """
    for option in options:
        first = option.split(".")[0]
        if first in RUNNER_KEYS or (option == BASE_LR and first in keys):
            continue
        if first in keys:
            raise ConfigError(
                f"--cfg-options {option}: `{first}` is a variable that the config has already used, so this would "
                "change nothing; set the values that were computed from it (tools/train.py --help shows the form)"
            )
        raise ConfigError(f"--cfg-options {option}: nothing reads the key `{first}`; {nearest(first, RUNNER_KEYS)}")
