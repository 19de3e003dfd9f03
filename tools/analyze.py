"""Measure and draw what the paper's figures show: attention, recognition, reconstructions, information, cost.

python tools/analyze.py recognition MixedAE=work_dirs/RUN/epoch_20.pth --data images=data/mini/imagenet/val --out DIR
python tools/analyze.py cost --out DIR

Each command writes PNG and data files into --out; docs/analysis.md says what they mean.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from mixedae.errors import ConfigError, one_line_errors


def values(text: str) -> list[int]:
    """Mask values such as ``2-11,13``."""
    parts = [part.partition("-") for part in text.split(",")]
    return [value for first, sign, last in parts for value in range(int(first), int(last if sign else first) + 1)]


def parser() -> argparse.ArgumentParser:
    """The command line; nothing heavy is imported for it."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True)

    out = argparse.ArgumentParser(add_help=False)
    out.add_argument("--out", type=Path, required=True, help="folder to write into (made if absent)")
    models = argparse.ArgumentParser(add_help=False, parents=[out])
    models.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="config of the checkpoint NAME, or of all (default: the one that lies beside a checkpoint); repeatable",
    )
    models.add_argument(
        "--data",
        required=True,
        metavar="[KIND=]DIR",
        help="pictures: images=DIR (the default kind), or with object masks ade20k=DIR, coco=DIR",
    )
    models.add_argument("--split", help="default: validation (ade20k), val2017 (coco); of images, a folder below DIR")
    checkpoint = dict(metavar="[NAME=]CHECKPOINT", help="NAME=random: initial weights; one NAME for several seeds")

    attention = commands.add_parser("attention", parents=[models], help="[CLS] attention of the last layer (Fig. 5)")
    attention.add_argument("checkpoints", nargs="+", **checkpoint)  # type: ignore[arg-type]
    attention.add_argument("--num-images", type=int, default=500, help="at most so many are measured (default: 500)")
    attention.add_argument("--show", type=int, default=6, help="pictures in the figure (default: 6)")
    attention.add_argument("--size", type=int, help="side of the pictures in pixels (default: the first model's)")
    attention.add_argument(
        "--foreground",
        type=values,
        metavar="2-11",
        help="mask values that are objects (default: by classes.txt, all but 0 and background)",
    )

    recognition = commands.add_parser(
        "recognition", parents=[models], help="TopK sampling accuracy by layer and by epoch (Fig. 6)"
    )
    recognition.add_argument("checkpoints", nargs="*", **checkpoint)  # type: ignore[arg-type]
    recognition.add_argument(
        "--run", action="append", default=[], metavar="[NAME=]DIR", help="a run's folder, for accuracy by epoch"
    )
    recognition.add_argument("--num-images", type=int, default=512, help="at most so many (default: 512)")

    pictures = commands.add_parser("reconstruction", parents=[models], help="originals, inputs, reconstructions")
    pictures.add_argument("checkpoints", nargs="+", **checkpoint)  # type: ignore[arg-type]
    pictures.add_argument("--num-images", type=int, default=8, help="pictures in each figure (default: 8)")
    pictures.add_argument("--mode", choices=("compose", "full"), help="mixing mode (default: the checkpoint's)")

    information = commands.add_parser(
        "information", parents=[models], help="held-out log-likelihood given masked and mixed input (section 3.1)"
    )
    information.add_argument("checkpoints", nargs="+", **checkpoint)  # type: ignore[arg-type]
    information.add_argument("--num-images", type=int, default=512, help="at most so many (default: 512)")

    cost = commands.add_parser("cost", parents=[out], help="parameters, FLOPs, activations, predicted GPU-days")
    cost.add_argument(
        "configs",
        nargs="*",
        type=Path,
        help="configs, folders, suites (default: mm_configs/pretrain and the ablations)",
    )
    return top


@one_line_errors
def main(arguments: list[str] | None = None) -> int:
    """Run one command; an error of this project is one line on standard error and exit code 1."""
    args = parser().parse_args(arguments)
    from rich.console import Console

    from mixedae.engine.console import quiet_console

    quiet_console()
    if getattr(args, "num_images", 1) < 1 or getattr(args, "show", 1) < 1:
        raise ConfigError("--num-images and --show: expected 1 at least")
    command = import_module(f"mixedae.analysis.commands.{args.command}")
    args.out.mkdir(parents=True, exist_ok=True)
    for path in command.run(args, Console(width=None if sys.stdout.isatty() else 160)):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
