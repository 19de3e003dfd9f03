"""A measurement as data (the schema of the JSON files) and as a table."""

import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from mixedae.benchmark.store.provenance import collect
from mixedae.benchmark.store.results import Provenance
from mixedae.files import ROOT, write_json

SCHEMA = 1


class Row(BaseModel):
    """One candidate in one case. Seconds and ratios are medians over rounds, with their first and third quartiles."""

    model_config = ConfigDict(extra="forbid")

    case: str
    name: str
    seconds: float
    seconds_quartiles: tuple[float, float]
    rounds: int
    baseline: str
    ratio: float  # seconds / seconds of the baseline, in the same round
    ratio_quartiles: tuple[float, float]
    extra: dict[str, float | str] = {}  # images_per_s, gflop, ... by what was measured


class Report(BaseModel):
    """A run of tools/perf.py."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA
    what: str
    date: str
    command: str
    device: str
    threads: int
    clock: str
    provenance: Provenance
    rows: list[Row]


def report(what: str, rows: list[Row], device: torch.device, clock: str) -> Report:
    """Combine rows with what they depend on: device, threads, versions, commit, command."""
    return Report(
        what=what,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=shlex.join(["tools/perf.py", *sys.argv[1:]]),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        clock=clock,
        provenance=collect(ROOT),
        rows=rows,
    )


def show(result: Report, out: Path | None) -> None:
    """Print the table, and write the JSON file if ``out`` is given."""
    extras = list(dict.fromkeys(key for row in result.rows for key in row.extra))
    hardware = result.provenance.hardware["cpu"] if result.device == "cpu" else result.device
    title = f"{result.what} on {hardware}, {result.threads} thread(s); {result.clock}"
    table = Table("case", "", "median", "quartiles", "ratio", "quartiles", *extras, title=title)
    for i, row in enumerate(result.rows):
        ratio = ("", "") if row.name == row.baseline else (f"{row.ratio:.3f}", _range(row.ratio_quartiles, "{:.3f}"))
        numbers = [_number(row.extra[key]) if key in row.extra else "" for key in extras]
        last = i + 1 == len(result.rows) or result.rows[i + 1].case != row.case
        seconds = (f"{row.seconds * 1e3:.4g} ms", _range(tuple(s * 1e3 for s in row.seconds_quartiles), "{:.4g}"))
        table.add_row(row.case, row.name, *seconds, *ratio, *numbers, end_section=last)
    Console(width=None if sys.stdout.isatty() else 170).print(table)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, result.model_dump())


def _range(low_high: tuple[float, ...], form: str) -> str:
    return " - ".join(form.format(x) for x in low_high)


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
