"""What train.py and test.py share: arguments, reading the config, errors in one line. No torch before it is needed."""

import argparse
import contextlib
import importlib
import importlib.metadata
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixedae.errors import ConfigError, MixedAEError, RunStoppedError, unwritable
from mixedae.launchers import LAUNCHERS, check_launcher, show, show_on_console
from mixedae.overlays import check_options, merge_overlays

if TYPE_CHECKING:
    from mmengine.config import Config


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that both commands have, with upstream's names."""
    from mmengine.config import DictAction

    class OptionAction(DictAction):
        """mmengine's, but a value keeps its blanks: a path is taken as it stands, unless it is a list or a dict."""

        def __call__(
            self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
        ) -> None:
            for word in values:
                if "=" not in word:
                    parser.error(f"--cfg-options {word}: expected KEY=VALUE")
            pairs = [word.split("=", 1) for word in values]
            plain = {key: value for key, value in pairs if " " in value and not set("[](){},") & set(value)}
            super().__call__(parser, namespace, [f"{k}={v}" for k, v in pairs if k not in plain], option)
            getattr(namespace, self.dest).update({key: value.strip("'\"") for key, value in plain.items()})

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--work-dir", help="where logs, checkpoints and records go (default: work_dirs/<config's name>)"
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[NAME=]DIR",
        help="where the data lies: of the set NAME that the config reads, or without a name any folder of pictures to "
        "pre-train on; may be repeated",
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
        action=OptionAction,
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
        DataError: --data names no folder.
        ConfigError: no such file, a name of --data or an overlay that the config does not have, or an option that
            nothing reads.
    """
    check_launcher(args.launcher)
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    if not Path(args.config).is_file():
        raise ConfigError(f"no config file {args.config}; the recipes are in mm_configs/")
    from mixedae.own_data import with_data

    cfg = with_data(args.config, args.data)
    merge_overlays(cfg, args.overlay, args.config)
    check_options(args.cfg_options or {}, set(cfg))
    cfg.launcher = args.launcher
    if args.work_dir or not cfg.get("work_dir"):
        cfg.work_dir = args.work_dir or str(Path("work_dirs") / Path(args.config).stem)
    return cfg


def import_library(cfg: "Config") -> None:
    """Import the library that trains, without what its fork prints about optional packages that are not here.

    Raises:
        ConfigError: transformers 5 or newer is installed, with which mmpretrain cannot be imported.
    """
    check_transformers()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(f"{cfg.default_scope}.datasets")
        importlib.import_module(f"{cfg.default_scope}.models")
        importlib.import_module(f"{cfg.default_scope}.evaluation")
        importlib.import_module("mmpretrain.datasets")


def check_transformers() -> None:
    """Refuse a transformers package that mmpretrain 1.x dies with (``TypeError: NoneType takes no arguments``).

    Raises:
        ConfigError: it is installed.
    """
    try:
        version = importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return
    if int(version.split(".")[0]) >= 5:
        raise ConfigError(
            f"transformers {version} found; mmpretrain works with none, or with one below 5. This project does not "
            "need it: pip uninstall transformers, or use the environment that make test builds"
        )


def run(main: Callable[[], None]) -> None:
    """Call a command's main function; end the process with one line and exit code 1 on this project's errors.

    The traceback goes to the log file, where there is one already. Of several processes each shows its own error.
    """
    try:
        main()
    except RunStoppedError as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.status)
    except MixedAEError as error:
        _to_log_file(error)
        lines = str(error).splitlines() or [""]
        # A loader's worker process hands its error on as text, with a traceback; the last line is the error.
        message = lines[-1].split(": ", 1)[-1] if lines[0].startswith("Caught ") else str(error)
        show(f"error: {type(error).__name__}: {message}")
        sys.exit(1)
    except OSError as error:
        if (text := unwritable(error)) is None:
            _show_unexpected(error)
            raise
        show(f"error: {text}")
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; --resume continues from the last checkpoint", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        _show_unexpected(error)
        raise


def _show_unexpected(error: Exception) -> None:
    lines = str(error).strip().splitlines() or [""]
    show_on_console(f"{type(error).__name__}: {lines[0]}")


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
