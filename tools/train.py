#!/usr/bin/env python
"""Train with any config of mm_configs/: pre-training, classification, segmentation, detection.

python tools/train.py CONFIG --cfg-options model.backbone.init_cfg.checkpoint=FILE
"""

import signal
from contextlib import nullcontext
from typing import TYPE_CHECKING

from mixedae.command_line import argument_parser, import_library, read_config, run
from mixedae.errors import ConfigError, LauncherError
from mixedae.launchers import check_launcher, is_first_process, keep_output, local_rank_of
from mixedae.options import merge_options

if TYPE_CHECKING:
    from mmengine.config import Config


def main() -> None:
    """Parse, check what can be checked before anything is built, build mmengine's Runner, train."""
    parser = argument_parser(__doc__)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="continue from this checkpoint, or from the newest whole one of the work directory",
    )
    parser.add_argument(
        "--allow-change",
        action="append",
        default=[],
        metavar="KEY",
        help="with --resume: let this setting differ from the checkpoint's, such as batch or train_cfg.max_epochs; may "
        "be repeated",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision, if the recipe does not set it itself")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, train for two iterations, print what the whole run would be, and stop",
    )
    parser.add_argument(
        "--show",
        action="store_true",
        help="print every key of the resolved recipe with the file it comes from, and stop",
    )
    args = parser.parse_args()
    cfg = read_config(args)
    if args.amp:
        cfg.optim_wrapper.type = "AmpOptimWrapper"
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == "auto" else args.resume
    merge_options(cfg, args.cfg_options or {}, args.config)
    if args.show:
        from mixedae.origins import as_text, origins_of_run

        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `--show | head` ends without a traceback
        print(as_text(origins_of_run(args.config, args.overlay, args.cfg_options or {}, cfg, "tools/train.py")))
        return
    check_launcher(cfg.launcher)
    keep_output(cfg.launcher, cfg.work_dir)
    check_device(cfg)
    if args.allow_change:
        if not cfg.get("resume"):
            raise ConfigError("--allow-change found without --resume; only a run that goes on can differ from itself")
        cfg.allow_change = args.allow_change

    import_library(cfg)  # first: others import parts of it, and it is noisy
    from mmengine.registry import RUNNERS

    from mixedae.datasets.picture_cache import keep_pictures
    from mixedae.engine.config_text import format_config_once
    from mixedae.engine.console import quiet_console
    from mixedae.engine.distributed import leave
    from mixedae.engine.preflight.config import preflight
    from mixedae.engine.runner import StrictRunner
    from mixedae.occupancy import occupied

    quiet_console()
    format_config_once()
    preflight(cfg, dry_run=args.dry_run)
    keep_pictures(cfg)
    with occupied(cfg.work_dir) if is_first_process(cfg.launcher) else nullcontext():
        runner = RUNNERS.build(cfg) if "runner_type" in cfg else StrictRunner.from_cfg(cfg)
        if args.dry_run:
            from mixedae.engine.preflight.dry_run import describe, dry_run

            print(describe(dry_run(runner)))
        else:
            runner.train()
        leave()


def check_device(cfg: "Config") -> None:
    """Refuse what needs a GPU if there is none; mmengine would fail later, with an assertion.

    Raises:
        ConfigError: mixed precision on a CPU.
        LauncherError: more processes than GPUs on this machine.
    """
    import torch

    if torch.cuda.is_available():
        if (rank := local_rank_of(cfg.launcher)) >= torch.cuda.device_count():
            raise LauncherError(
                f"process {rank} of this machine has no GPU: {torch.cuda.device_count()} found. Start one process for "
                "each, or set CUDA_VISIBLE_DEVICES= (empty) to train on CPUs"
            )
        return
    if cfg.optim_wrapper.get("type") == "AmpOptimWrapper":
        raise ConfigError(
            "the recipe trains in mixed precision (AmpOptimWrapper), which needs a GPU, and none was found; to try it "
            "on a CPU: --cfg-options optim_wrapper.type=OptimWrapper"
        )


if __name__ == "__main__":
    run(main)
