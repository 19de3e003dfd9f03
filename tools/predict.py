#!/usr/bin/env python
"""Predict for pictures of your own: labels, masks or boxes, as files and drawn on the pictures. No labels are needed.

python tools/predict.py CONFIG CHECKPOINT PICTURES --out DIR

CONFIG is the one that CHECKPOINT was trained with; each run's folder holds a copy. PICTURES is a folder (read at any
depth), a .txt with one path a line, or one picture. DIR gets predictions.json, masks/ (segmentation) and pictures/.
"""

from pathlib import Path

from mixedae.command_line import argument_parser, import_library, read_config, run
from mixedae.errors import ConfigError, DataError


def main() -> None:
    """Parse, check, build mmengine's Runner around the pictures, load strictly, predict."""
    parser = argument_parser(__doc__)
    parser.add_argument("checkpoint", help="what tools/train.py wrote, or any state dict of the whole model")
    parser.add_argument("pictures", type=Path, help="a folder, a list (.txt) or one picture")
    parser.add_argument("--out", type=Path, required=True, help="folder for the predictions")
    parser.add_argument(
        "--draw", type=int, default=100, metavar="N", help="draw the first N pictures with their predictions (100)"
    )
    args = parser.parse_args()
    if not args.pictures.exists():
        raise DataError(f"{args.pictures} does not exist; expected a folder, a list (.txt) or one picture")
    if (args.out / "predictions.json").exists():
        raise ConfigError(f"--out {args.out} holds predictions already; choose another folder, or remove it first")
    cfg = read_config(args)
    cfg.load_from, cfg.resume = None, False  # CHECKPOINT is loaded below
    cfg.merge_from_dict(args.cfg_options or {})
    cfg.work_dir = str(args.out)

    import_library(cfg)  # first: others import parts of it, and it is noisy
    from mmengine.dist import is_main_process

    from mixedae.engine.console import quiet_console
    from mixedae.engine.predicting import use_pictures
    from mixedae.engine.preflight.config import check_sizes
    from mixedae.engine.preflight.keys import check_known_keys
    from mixedae.engine.runner import StrictRunner
    from mixedae.engine.unwrapping import unwrapped
    from mixedae.weights import load_whole, read_checkpoint

    quiet_console()
    check_sizes(cfg)
    checkpoint = read_checkpoint(args.checkpoint)
    known = (checkpoint.get("meta") or {}).get("dataset_meta") or {}
    count = use_pictures(cfg, args.pictures, args.out, args.draw, known)
    check_known_keys(cfg)
    runner = StrictRunner.from_cfg(cfg)
    load_whole(unwrapped(runner.model), checkpoint["state_dict"], args.checkpoint)
    runner.test()
    if is_main_process():
        print(f"{count} pictures: {args.out / 'predictions.json'}, {min(args.draw, count)} of them drawn")


if __name__ == "__main__":
    run(main)
