#!/usr/bin/env python
"""Measure speed: training steps, attention, input, start-up. Candidates take turns in one process.

python tools/perf.py step --batch 8 --threads 1
python tools/perf.py profile --batch 8 --threads 1
python tools/perf.py attention --tokens 197 --dtype bfloat16
python tools/perf.py loader --data data/imagenet/train
python tools/perf.py startup
python tools/perf.py training --threads 1 --rounds 5
"""

import argparse
import sys
from pathlib import Path

from mixedae.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    """The command line; no library is loaded for ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--rounds", type=int, default=10, help="counted rounds (default: 10)")
    common.add_argument("--out", type=Path, metavar="FILE.json", help="write the report as JSON")
    common.add_argument("--device", help="default: cuda if there is one, else cpu")
    common.add_argument("--threads", type=int, help="CPU threads of PyTorch (default: its own)")
    dtypes = ("float32", "bfloat16", "float16")

    step = commands.add_parser("step", parents=[common], help="MixedAE and MAE against mmpretrain's MAE")
    step.add_argument("--arch", choices=("base", "large"), default="base", help="ViT-B/16 or ViT-L/16 (default: base)")
    step.add_argument("--batch", type=int, nargs="+", default=[8], help="images; several give several cases")
    step.add_argument("--img-size", type=int, nargs="+", default=[224], help="side in pixels; (side / 16)^2 patches")
    step.add_argument("--depth", type=int, nargs="+", default=[None], help="encoder layers (default: all)")
    step.add_argument("--dtype", choices=dtypes, default="float32", help="of autocast (default: float32, without)")
    step.add_argument("--compile", action="store_true", help="also with torch.compile")
    step.add_argument("--against", action="append", default=[], metavar="FILE:NAME", help="a module to compare with")

    profile = commands.add_parser("profile", parents=[common], help="what a MAE and a MixedAE step spend their time on")
    profile.add_argument("--arch", choices=("base", "large"), default="base", help="ViT-B/16 or ViT-L/16")
    profile.add_argument("--batch", type=int, default=8, help="images (default: 8)")
    profile.add_argument("--img-size", type=int, default=224, help="side in pixels (default: 224)")
    profile.add_argument("--depth", type=int, help="encoder layers (default: all)")
    profile.add_argument("--dtype", choices=dtypes, default="float32", help="of autocast (default: float32, without)")

    attention = commands.add_parser("attention", parents=[common], help="homologous attention against plain attention")
    attention.add_argument("--samples", type=int, default=4, help="B (default: 4)")
    attention.add_argument("--tokens", type=int, nargs="+", default=[197], help="N (default: 197)")
    attention.add_argument("--heads", type=int, nargs="+", default=[12], help="H (default: 12)")
    attention.add_argument("--channels", type=int, nargs="+", default=[64], help="D (default: 64)")
    attention.add_argument("--topk-ratio", type=float, nargs="+", default=[0.25], help="K / N (default: 0.25)")
    attention.add_argument("--dtype", choices=dtypes, nargs="+", default=["float32"], help="default: float32")

    loader = commands.add_parser("loader", parents=[common], help="decoding and augmentation, images/s per core")
    loader.add_argument("--data", type=Path, required=True, help="folder of classes with JPEGs")
    loader.add_argument("--images", type=int, default=200, help="images per round (default: 200)")
    loader.add_argument("--size", type=int, default=224, help="side of a crop in pixels (default: 224)")
    commands.add_parser("startup", parents=[common], help="processes to their first output, training to iteration 1")
    commands.add_parser("training", parents=[common], help="an epoch of the mini recipe against mmengine's bare Runner")
    return parser.parse_args()


@one_line_errors
def main() -> int:
    """Run one measurement; an error of this project is one line on standard error and exit code 1."""
    args = parse_args()
    import torch

    from mixedae.perf.report import report, show
    from mixedae.perf.timing import clock_name

    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    clocks = {"startup": "cpu time of the processes started", "profile": "PyTorch's profiler"}
    clock = clocks.get(args.command) or clock_name(device)
    if args.command == "step":
        from mixedae.perf.steps import measure_steps

        dtype = getattr(torch, args.dtype)
        shape = (args.arch, args.batch, args.img_size, args.depth)
        rows = list(measure_steps(device, *shape, dtype, args.compile, args.against, args.rounds))
    elif args.command == "profile":
        from mixedae.perf.profile import measure_profile

        case = (args.arch, args.batch, args.img_size, args.depth, getattr(torch, args.dtype))
        rows = list(measure_profile(device, *case, args.rounds))
    elif args.command == "attention":
        from mixedae.perf.attention import measure_attention

        dtypes = [getattr(torch, name) for name in args.dtype]
        sweep = (args.samples, args.tokens, args.heads, args.channels, args.topk_ratio)
        rows = list(measure_attention(device, *sweep, dtypes, args.rounds))
    elif args.command == "loader":
        from mixedae.perf.loader import measure_loaders

        rows = measure_loaders(args.data, args.images, args.rounds, args.size)
    elif args.command == "training":
        from mixedae.perf.training import measure_training

        rows = measure_training(args.rounds, device)
    else:
        from mixedae.perf.startup import measure_startup

        rows = measure_startup(args.rounds)
    show(report(args.command, rows, device, clock), args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
