"""Write the mini benchmark, check a dataset on disk, draw few labels, or print a fingerprint.

python tools/data.py mini
python tools/data.py verify imagenet data/imagenet --card in1k_ft --checksums data/imagenet.sha256
python tools/data.py verify pets data/oxford-iiit-pet
python tools/data.py subset data/imagenet --fraction 0.01
python tools/data.py fingerprint data/mini/coco
"""

import argparse
import os
import sys
from pathlib import Path

from mixedae.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    """The command line; no library is loaded for ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    cores = min(8, os.cpu_count() or 1)

    mini = commands.add_parser("mini", help="write the built-in mini benchmark (under a minute, 130 MB)")
    mini.add_argument("--out", type=Path, default=Path("data/mini"), help="folder to write (default: data/mini)")
    mini.add_argument("--seed", type=int, default=0, help="another seed, other pictures (default: 0)")
    mini.add_argument("--scale", default="full", help="full, or test: a few pictures per split (default: full)")
    mini.add_argument("--workers", type=int, default=cores, help=f"processes (default: {cores}); same pixels")

    verify = commands.add_parser("verify", help="check the layout, decode every picture, check the annotations")
    verify.add_argument("kind", help="imagenet, ade20k, coco, or a leaf of mm_configs/classification/small")
    verify.add_argument("root", type=Path, help="the dataset's folder")
    verify.add_argument("--num-classes", type=int, help="largest value of a mask (default: from classes.txt, else 150)")
    verify.add_argument("--splits", nargs="+", help="splits to look at (default: those of training and validation)")
    verify.add_argument("--workers", type=int, default=cores, help=f"threads (default: {cores})")
    verify.add_argument("--card", help="task card whose numbers of pictures must be found, such as in1k_ft")
    verify.add_argument("--checksums", type=Path, help="list of SHA-256: written if absent, else compared")

    subset = commands.add_parser("subset", help="write a fixed list of labelled pictures to <root>/meta")
    subset.add_argument("root", type=Path, help="folder of an ImageNet-like dataset, train/<class>/<picture>")
    subset.add_argument("--fraction", type=float, required=True, help="share of every class, such as 0.01 or 0.1")
    subset.add_argument("--seed", type=int, default=0, help="another seed, another list (default: 0)")
    subset.add_argument("--names", type=Path, help="take this list of file names instead (SimCLR's format)")

    fingerprint = commands.add_parser("fingerprint", help="print the SHA-256 of a dataset's names and contents")
    fingerprint.add_argument("paths", type=Path, nargs="+", help="folders or files of one dataset")
    return parser.parse_args()


def run_mini(args: argparse.Namespace) -> None:
    """Write the mini benchmark, or say that it is there."""
    from mixedae.datasets.mini.write import write_mini

    there = (args.out / "manifest.json").is_file()
    manifest = write_mini(args.out, args.seed, args.scale, args.workers, progress=True)
    print(f"{args.out}: {'complete already, left as it is' if there else 'written'} (seed {manifest['seed']})")
    for split, count in manifest["counts"].items():
        print(f"  {split:20} {count:5} pictures  sha256 {manifest['sha256'][split][:16]}")


def run_verify(args: argparse.Namespace) -> None:
    """Check a dataset and print what its splits hold."""
    from rich.console import Console
    from rich.table import Table

    from mixedae.datasets.verify.checksums import check_counts, check_or_write, parts_of
    from mixedae.datasets.verify.layouts import SPLITS, verify_folder

    if args.kind in SPLITS:
        rows = verify_folder(args.kind, args.root, args.num_classes, args.splits, args.workers, progress=True)
    else:
        from mixedae.datasets.verify.small_sets import verify_leaf

        rows = verify_leaf(args.kind, args.root, args.workers, progress=True)
    table = Table(
        "split", "pictures", "classes present", "of", "fewest", "median", "most", "counted in", title=str(args.root)
    )
    for row in rows:
        counts = sorted(row.counts.values())
        figures = (len([c for c in counts if c]), len(counts), counts[0], counts[len(counts) // 2], counts[-1])
        table.add_row(row.split, str(row.images), *map(str, figures), row.unit)
    Console().print(table)
    print("every picture decodes, and the annotations fit")
    if args.card:
        from mixedae.benchmark.plan.cards import load_card
        from mixedae.benchmark.plan.suites import BENCHMARK

        print(check_counts(rows, load_card(BENCHMARK / "tasks" / f"{args.card}.yaml").splits))
    if args.checksums:
        print(check_or_write(args.root, parts_of(args.kind, [row.split for row in rows]), args.checksums))


def run_subset(args: argparse.Namespace) -> None:
    """Write a list for learning from few labels."""
    from mixedae.datasets.subset import write_subset

    path, count, digest = write_subset(args.root, args.fraction, args.seed, args.names)
    print(f"{path}: {count} pictures, sha256 {digest}")


def run_fingerprint(args: argparse.Namespace) -> None:
    """Print the fingerprint."""
    from mixedae.datasets.fingerprint import dataset_fingerprint

    print(dataset_fingerprint(args.paths, progress=True))


@one_line_errors
def main() -> int:
    """Run the command; an error of this project is one line on standard error and exit code 1."""
    args = parse_args()
    commands = {"mini": run_mini, "verify": run_verify, "subset": run_subset, "fingerprint": run_fingerprint}
    commands[args.command](args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
