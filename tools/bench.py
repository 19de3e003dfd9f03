"""The benchmark: list suites and tasks, check a suite, run it, print its table.

python tools/bench.py run mm_configs/benchmark/suites/quickstart.yaml
"""

import argparse
import os
import sys

from mixedae.errors import MixedAEError


def parser() -> argparse.ArgumentParser:
    """The command line; nothing heavy is imported for it."""
    top = argparse.ArgumentParser(prog="bench.py", description=__doc__.splitlines()[0])
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("ls", help="list suites and tasks")

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("suite", help="path of a suite, or the name of one of mm_configs/benchmark/suites")
    common.add_argument("--work-dir", help="the suite's folder (default: work_dirs/<suite>)")
    common.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="where a dataset is (default: MIXEDAE_DATA_<NAME>, else data/<name>); may be repeated",
    )
    common.add_argument("--seeds", metavar="0,1,2", help="instead of the suite's seeds")

    commands.add_parser("validate", parents=[common], help="check cards, configs and data")
    run = commands.add_parser(
        "run",
        parents=[common],
        help="run the cells that are not done",
        description="Runs each cell that has no valid result. Interrupted or failed, start it again: it continues.",
        epilog="example: bench.py run quickstart --only 'mae/*' --seeds 0,1",
    )
    run.add_argument("--only", metavar="PATTERN", help="cells whose name (mae/mini_seg/seed_0) matches or holds this")
    run.add_argument("--dry-run", action="store_true", help="print the cells, and which are cached, and stop")
    table = commands.add_parser("table", parents=[common], help="print the comparison, complete or not")
    table.add_argument("--format", choices=("rich", "md", "csv", "json", "latex"), default="rich")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    args = parser().parse_args(arguments)
    from rich.console import Console

    from mixedae.benchmark import commands

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that has no ± must not end a run
    try:
        width = (
            None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160
        )  # pipes and logs are not 80 columns wide
        return int(getattr(commands, f"do_{args.command}")(args, Console(width=width)))
    except MixedAEError as error:
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
