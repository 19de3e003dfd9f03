#!/usr/bin/env python
"""Test a trained model: python tools/test.py CONFIG CHECKPOINT --out metrics.json.

The checkpoint must fit the model exactly: a tensor that is missing, unexpected or of another shape is an error.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mixedae.command_line import argument_parser, import_library, read_config, run
from mixedae.errors import ConfigError
from mixedae.launchers import keep_output

if TYPE_CHECKING:
    from mmengine.config import Config


def main() -> None:
    """Parse, check, build mmengine's Runner, load strictly, test, print the metrics."""
    parser = argument_parser(__doc__)
    parser.add_argument("checkpoint", help="what tools/train.py wrote, or any state dict of the whole model")
    parser.add_argument("--out", help="write the metrics to this JSON file")
    parser.add_argument("--predictions", metavar="DIR", help="write predictions.json, and masks as PNG, to this folder")
    parser.add_argument("--pictures", type=int, default=0, metavar="N", help="draw the first N, with their predictions")
    parser.add_argument("--tta", action="store_true", help="several scales and flips, if the recipe has them")
    args = parser.parse_args()
    if given := {"load_from", "resume"} & set(args.cfg_options or {}):
        raise ConfigError(
            f"{' and '.join(sorted(given))} found in --cfg-options; a test reads CHECKPOINT ({args.checkpoint}) and no "
            "other file: leave it out, or give its file as CHECKPOINT"
        )
    if args.out:
        check_out(Path(args.out))
    cfg = read_config(args)
    cfg.load_from, cfg.resume = None, False  # CHECKPOINT is loaded below
    cfg.merge_from_dict(args.cfg_options or {})
    if args.predictions or args.pictures:
        out_dir = args.predictions or cfg.work_dir
        hook = dict(type="mixedae.PredictionHook", out_dir=out_dir, save_predictions=bool(args.predictions))
        cfg.custom_hooks = [*cfg.get("custom_hooks", []), dict(hook, num_pictures=args.pictures)]
    if args.tta:
        use_tta(cfg)

    keep_output(cfg.launcher, cfg.work_dir)
    import_library(cfg)  # first: others import parts of it, and it is noisy
    from mmengine.dist import is_main_process

    from mixedae.engine.console import quiet_console
    from mixedae.engine.distributed import leave
    from mixedae.engine.preflight.config import check_sizes
    from mixedae.engine.preflight.data import check_datasets
    from mixedae.engine.preflight.keys import check_known_keys
    from mixedae.engine.runner import StrictRunner
    from mixedae.engine.unwrapping import unwrapped
    from mixedae.files import write_json
    from mixedae.weights import load_model

    quiet_console()
    check_sizes(cfg)
    check_datasets(cfg, splits=("test",))
    check_known_keys(cfg)
    runner = StrictRunner.from_cfg(cfg)
    model = unwrapped(runner.model)
    load_model(model.module if args.tta else model, args.checkpoint)
    metrics = runner.test()
    if is_main_process():
        for name, value in metrics.items():
            print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
        if args.out:
            write_json(args.out, metrics)
    leave()


def check_out(path: Path) -> None:
    """Make the folder of a file that will be written after the test, or refuse it before.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {path}: {error.strerror}; choose another place") from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(f"--out {path} cannot be written: expected a file in a folder of yours; choose another place")


def use_tta(cfg: "Config") -> None:
    """Replace the recipe's test pipeline by its test-time augmentation.

    Raises:
        ConfigError: the recipe has none.
    """
    if not (cfg.get("tta_model") and cfg.get("tta_pipeline")):
        raise ConfigError("--tta found; the config has no tta_model and tta_pipeline (the ADE20K recipe has)")
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(**cfg.tta_model, module=cfg.model)


if __name__ == "__main__":
    run(main)
