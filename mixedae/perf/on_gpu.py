"""What only a GPU can show, part by part within a given time: each a process of its own, bounded, gone on with."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from mixedae.files import ROOT, read_json, write_json, write_text

SPARE = 15.0
"""Seconds that are kept for writing at the end; a part that has less left is not begun."""
RESULTS = "gpu.json"
FAILED = re.compile(r"FAILED (\S+)|(\S+::\S+) FAILED")

Status = Literal["done", "failed", "out of time", "lacks a package"]


@dataclass(frozen=True)
class Part:
    """One thing to run.

    Attributes:
        name: in the table.
        command: arguments behind Python.
        minutes: how long it takes at most.
        needs: packages that it imports.
    """

    name: str
    command: tuple[str, ...]
    minutes: float
    needs: tuple[str, ...] = ()


class PartResult(BaseModel):
    """What became of a part.

    Attributes:
        status: how it ended.
        seconds: it ran.
        said: its last lines.
        failed: names of tests that failed, as far as it got.
        command: as it was called.
    """

    status: Status
    seconds: float
    said: list[str] = []
    failed: list[str] = []
    command: str = ""


class GpuResults(BaseModel):
    """The file ``gpu.json``.

    Attributes:
        machine: name of the GPU, driver and versions.
        parts: name to result.
    """

    machine: str
    parts: dict[str, PartResult] = {}


OPENMMLAB = ("mmengine", "mmcv", "mmpretrain")
DENSE = (*OPENMMLAB, "mmseg", "mmdet")


def perf(*arguments: str) -> tuple[str, ...]:
    """A command of tools/perf.py."""
    return ("tools/perf.py", *arguments)


PARTS = (
    Part("attention", perf("attention", "--samples", "256", "--dtype", "bfloat16", "--rounds", "20"), 2, OPENMMLAB),
    Part("step, eager", perf("step", "--batch", "256", "--dtype", "bfloat16", "--rounds", "10"), 4, OPENMMLAB),
    Part(
        "fused kernels against float64",
        ("-m", "pytest", "-m", "gpu", "-v", "--tb=short", "tests/ops/attention/test_fused.py"),
        4,
        ("pytest", "triton", "hypothesis"),
    ),
    Part(
        "tests marked gpu",
        ("-m", "pytest", "-m", "gpu", "-v", "--tb=short", "-n", "4"),
        9,
        ("pytest", "xdist", "hypothesis", *DENSE, "timm"),
    ),
    Part("profile", perf("profile", "--batch", "256", "--dtype", "bfloat16", "--rounds", "5"), 3, OPENMMLAB),
    Part(
        "step, compiled",
        perf("step", "--batch", "256", "--dtype", "bfloat16", "--compile", "--rounds", "10"),
        9,
        OPENMMLAB,
    ),
    *(
        Part(
            f"attention on {count} CPU threads", perf("attention", "--device", "cpu", "--threads", count), 2, OPENMMLAB
        )
        for count in ("1", "4", "8", "16")
    ),
)
"""The most valuable first. What needs data of its own stands in GPU.md."""


def missing(part: Part) -> list[str]:
    """Packages that a part needs and that are not here."""
    return [name for name in part.needs if importlib.util.find_spec(name) is None]


def run_parts(
    parts: Sequence[Part],
    minutes: float,
    folder: Path,
    machine: str,
    say: Callable[[str], object] = print,
    clock: Callable[[], float] = time.monotonic,
) -> GpuResults:
    """Run what is not done and fits, in order; what one part does has no effect on another.

    Args:
        parts: what there is to run.
        minutes: for all of it.
        folder: ``gpu.json``, ``gpu.md`` and a log of each part are written here, after each part.
        machine: a line on GPU and versions.
        say: is told each part's beginning and end.
        clock: seconds.

    Returns:
        All results, those of earlier calls on this machine included.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = read_json(folder / RESULTS, default=None)
    results = GpuResults.model_validate(known) if known else GpuResults(machine=machine)
    if results.machine != machine:
        results = GpuResults(machine=machine)
    end = clock() + 60 * minutes
    for part in parts:
        if part.name in results.parts and results.parts[part.name].status in ("done", "failed"):
            continue
        if lacking := missing(part):
            results.parts[part.name] = PartResult(
                status="lacks a package", seconds=0.0, said=[f"not installed: {', '.join(lacking)}"]
            )
            say(f"{part.name}: not run, {', '.join(lacking)} is not installed")
            continue
        left = end - clock() - SPARE
        if left <= 0:
            say(f"{part.name}: no time left; call again to go on")
            break
        say(f"{part.name}: at most {min(left, 60 * part.minutes):.0f} s")
        results.parts[part.name] = run_part(part, min(left, 60 * part.minutes), folder, clock)
        write_json(folder / RESULTS, results.model_dump())
        write_text(folder / "gpu.md", table(results))
        result = results.parts[part.name]
        say(f"{part.name}: {result.status} after {result.seconds:.0f} s{_names(result)}")
    write_json(folder / RESULTS, results.model_dump())
    write_text(folder / "gpu.md", table(results))
    return results


def run_part(part: Part, seconds: float, folder: Path, clock: Callable[[], float] = time.monotonic) -> PartResult:
    """Run one part; it and all that it started are ended when its time is up.

    Args:
        part: what to run.
        seconds: at most.
        folder: of its log.
        clock: seconds.
    """
    log = folder / f"{re.sub(r'[^a-z0-9]+', '_', part.name.lower())}.txt"
    command = [sys.executable, "-u", *part.command]
    began, status = clock(), "done"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT, start_new_session=True
        )
        try:
            if process.wait(timeout=seconds):
                status = "failed"
        except subprocess.TimeoutExpired:
            status = "out of time"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    names = dict.fromkeys(name for line in lines for found in FAILED.findall(line) for name in found if name)
    return PartResult(
        status=status,  # type: ignore[arg-type]
        seconds=round(clock() - began, 1),
        said=[line.rstrip() for line in lines if line.strip()][-40:],
        failed=[*names],
        command=" ".join(["python", *part.command]),
    )


def _names(result: PartResult) -> str:
    return f"; failed: {', '.join(result.failed)}" if result.failed else ""


def table(results: GpuResults) -> str:
    """The results in Markdown, with what each part said last."""
    rows = [
        f"| {name} | {r.status}{_names(r)} | {r.seconds:.0f} s | `{r.command}` |" for name, r in results.parts.items()
    ]
    said = [f"**{name}**\n\n```\n" + "\n".join(r.said) + "\n```\n" for name, r in results.parts.items() if r.said]
    head = [f"{results.machine}", "", "| part | ended | time | command |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, "", *said]) + "\n"


def describe_machine() -> str | None:
    """Name and memory of the first GPU, driver and versions; None without a GPU, or without PyTorch."""
    code = (
        "import json, torch; g = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None; "
        "print(json.dumps(g and f'{g.name}, {g.total_memory / 2**30:.0f} GiB, torch {torch.__version__}, "
        "CUDA {torch.version.cuda}'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else None
