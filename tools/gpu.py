#!/usr/bin/env python
"""Run what only a GPU can show, the most valuable first, within some minutes: make gpu MINUTES=10."""

import argparse
import sys
from pathlib import Path

from mixedae.perf.on_gpu import PARTS, describe_machine, run_parts


def main() -> int:
    """Run the parts; 0 if none failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for all parts together (10)")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/gpu"), help="folder of gpu.json, gpu.md and logs")
    args = parser.parse_args()
    machine = describe_machine()
    if machine is None:
        print(f"no GPU found; with one this would run: {', '.join(part.name for part in PARTS)}")
        return 0
    results = run_parts(PARTS, args.minutes, args.out, machine)
    print(f"{args.out / 'gpu.md'}: the table for docs/performance.md; tick the rows of GPU.md. Call again to go on")
    return int(any(result.status == "failed" for result in results.parts.values()))


if __name__ == "__main__":
    sys.exit(main())
