"""The benchmark: list suites and tasks, check a suite, run it, print its table, write its report.

python tools/bench.py run mm_configs/benchmark/suites/quickstart.yaml
"""

import argparse
import os
import sys

from mixedae.errors import one_line_errors


def parser() -> argparse.ArgumentParser:
    """The command line; nothing heavy is imported for it."""
    top = argparse.ArgumentParser(prog="bench.py", description=__doc__.splitlines()[0])
    commands = top.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("ls", help="list suites and tasks, or the rows of one suite")
    listing.add_argument("suite", nargs="?", help="print the command that trains each of its rows by hand")

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("suite", help="path of a suite, or the name of one of mm_configs/benchmark/suites")
    common.add_argument("--work-dir", help="the suite's folder (default: work_dirs/<suite>)")
    common.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="where a dataset is (default: MIXEDAE_DATA_<NAME>, else as its card says, data/<name>); may be repeated",
    )
    common.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="start a row from this file: a row of the suite, instead of its pre-training, or a row with a new name; "
        "remembered with the suite's folder; may be repeated",
    )
    common.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="stop every run after N iterations, to test the set-up, in <work-dir>_limitN",
    )
    common.add_argument("--seeds", metavar="0,1,2", help="instead of the suite's seeds")

    commands.add_parser("validate", parents=[common], help="check cards, configs and data")
    run = commands.add_parser(
        "run",
        parents=[common],
        help="run the cells that are not done",
        description="Runs each cell that has no valid result. After a failure the same command continues.",
        epilog="example: bench.py run quickstart --only 'mae/*' --seeds 0,1",
    )
    run.add_argument("--only", metavar="PATTERN", help="cells whose name (mae/mini_seg/seed_0) matches or holds this")
    run.add_argument("--dry-run", action="store_true", help="print the cells, and which are cached, and stop")
    run.add_argument("--force", action="store_true", help="run cells again although they are done (with --only: these)")
    run.add_argument("--retries", type=int, default=0, metavar="N", help="start a failed cell again, up to N times")
    launch = run.add_argument_group("processes", "if none of these is given: as in the suite's last run")
    launch.add_argument("--launcher", choices=("local", "torchrun", "slurm"), help="default: local, one per cell")
    launch.add_argument("--processes", type=int, metavar="N", help="on each node: one per GPU")
    launch.add_argument("--nodes", type=int, metavar="N")
    launch.add_argument("--rendezvous", metavar="HOST:PORT", help="where torchrun's nodes meet")
    launch.add_argument("--starter", metavar="COMMAND", help="starts torchrun on each node: 'mpirun -np 2 -H a,b'")
    launch.add_argument(
        "--slurm", action="append", default=[], metavar="KEY=VALUE", help="slurm_partition=gpu, timeout_min=600, ..."
    )
    launch.add_argument(
        "--cluster", choices=("slurm", "local"), help="local: submitit's jobs as processes of this machine"
    )
    table = commands.add_parser("table", parents=[common], help="print the comparison, also if cells are missing")
    table.add_argument("--format", choices=("rich", "md", "csv", "json", "latex"), default="rich")
    report = commands.add_parser("report", parents=[common], help="write report.html: one file, no network")
    report.add_argument("--out", help="default: report.html in the suite's folder")
    export = commands.add_parser(
        "export", parents=[common], help="write finished cells as <suite>.csv and <suite>.zip, which travel"
    )
    export.add_argument("--out", default="results", metavar="DIR", help="folder to write into (results)")
    take = commands.add_parser("import", parents=[common], help="take in cells that were finished elsewhere")
    take.add_argument("archive", help="<suite>.zip of bench.py export")
    new = commands.add_parser("new", help="write a commented card or suite to start from").add_subparsers(
        dest="what", required=True
    )
    card = new.add_parser("card", help="a task on data of your own")
    card.add_argument("name")
    card.add_argument("--task", required=True, choices=("classification", "segmentation", "detection"))
    card.add_argument("--data", required=True, metavar="DIR", help="laid out as mm_configs/own/<task>.py says")
    suite = new.add_parser("suite", help="a table: your checkpoint beside random weights")
    suite.add_argument("name")
    suite.add_argument("--tasks", required=True, metavar="CARD[,CARD]", help="names of cards; bench.py ls lists them")
    suite.add_argument("--checkpoint", metavar="FILE", help="any that loads")
    return top


@one_line_errors
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
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
