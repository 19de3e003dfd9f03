"""What train.py and test.py share: arguments, reading the config, errors in one line. No torch before it is needed."""

import argparse
import contextlib
import copy
import importlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from mixedae.errors import ConfigError, LauncherError, MixedAEError
from mixedae.launchers import LAUNCHERS
from mixedae.options import BASE_LR

if TYPE_CHECKING:
    from mmengine.config import Config

# What mmengine's Runner reads of a config, from mmengine/runner/runner.py (0.10.12).
RUNNER_KEYS = frozenset(
    """model work_dir train_dataloader val_dataloader test_dataloader train_cfg val_cfg test_cfg auto_scale_lr
    optim_wrapper param_scheduler val_evaluator test_evaluator default_hooks custom_hooks data_preprocessor load_from
    resume launcher env_cfg log_processor log_level visualizer default_scope randomness experiment_name
    model_wrapper_cfg sync_bn runner_type find_unused_parameters activation_checkpointing efficient_conv_bn_eval
    compile""".split()  # noqa: SIM905
)


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that both commands have, with upstream's names."""
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--work-dir", help="where logs, checkpoints and records go (default: work_dirs/<config's name>)"
    )
    parser.add_argument(
        "--overlay",
        action="append",
        default=[],
        metavar="NAME",
        help="merge this variable of the config over it (such as selection); may be repeated, in order",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help='change the config: train_dataloader.batch_size=16 model.neck.rescales="[4,2,1,0.5]"',
    )
    parser.add_argument("--launcher", choices=["none", *LAUNCHERS], default="none", help="how processes were started")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    return parser


def read_config(args: argparse.Namespace) -> "Config":
    """Read the config and merge its overlays; the caller merges --cfg-options last, as upstream does.

    Raises:
        LauncherError: a launcher outside its environment.
        ConfigError: no such file, an overlay that the config does not have, or an option that nothing reads.
    """
    variables, _ = LAUNCHERS.get(args.launcher, ((), ""))  # preflight() looks again, after torch is imported
    if missing := [variable for variable in variables if variable not in os.environ]:
        raise LauncherError(
            f"--launcher {args.launcher} found, but no {', '.join(missing)} in the environment: start with "
            "tools/dist_train.sh, tools/slurm_train.sh or mpirun, or leave --launcher out for one process"
        )
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    if not Path(args.config).is_file():
        raise ConfigError(f"no config file {args.config}; the recipes are in mm_configs/")
    from mmengine.config import Config

    cfg = Config.fromfile(args.config)
    merge_overlays(cfg, args.overlay, args.config)
    check_options(args.cfg_options or {}, set(cfg))
    cfg.launcher = args.launcher
    if args.work_dir or not cfg.get("work_dir"):
        cfg.work_dir = args.work_dir or str(Path("work_dirs") / Path(args.config).stem)
    return cfg


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
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(known) or 'none'}"
            raise ConfigError(f"{path} has no overlay `{name}`; {hint}")
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
        near = get_close_matches(first, RUNNER_KEYS, n=1)
        raise ConfigError(
            f"--cfg-options {option}: nothing reads the key `{first}`"
            + (f"; did you mean `{near[0]}`?" if near else "")
        )


def import_library(cfg: "Config") -> None:
    """Import the library that trains, without what its fork prints about optional packages that are not here."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(f"{cfg.default_scope}.datasets")
        importlib.import_module(f"{cfg.default_scope}.models")


def run(main: Callable[[], None]) -> None:
    """Call a command's main function; end the process with one line and exit code 1 on this project's errors.

    The traceback goes to the log file, where there is one already.
    """
    try:
        main()
    except MixedAEError as error:
        _to_log_file(error)
        lines = str(error).splitlines() or [""]
        # A loader's worker process hands its error on as text, with a traceback; the last line is the error.
        message = lines[-1].split(": ", 1)[-1] if lines[0].startswith("Caught ") else str(error)
        print(f"error: {type(error).__name__}: {message}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; --resume continues from the last checkpoint", file=sys.stderr)
        sys.exit(130)


def _to_log_file(error: BaseException) -> None:
    if "mmengine.logging" not in sys.modules:
        return
    from mmengine.logging import MMLogger

    record = logging.LogRecord(
        "mmengine", logging.ERROR, __file__, 0, "the run ends with", (), (type(error), error, error.__traceback__)
    )
    for logger in MMLogger._instance_dict.values():
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.emit(record)
