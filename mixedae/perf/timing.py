"""Interleaved timing: candidates take turns in one process, so that other work on the machine affects them all."""

import functools
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from rich.progress import track

from mixedae.perf.report import Row


def clock_name(device: torch.device) -> str:
    """Which clock :func:`interleave` reads: on one CPU thread the process's CPU time, without waiting."""
    if device.type == "cpu" and torch.get_num_threads() == 1:
        return "cpu time of the process (one thread)"
    return "wall time"


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    own_time = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time() if own_time else time.perf_counter()


def interleave(
    candidates: Mapping[str, Callable[[], Any]],
    device: torch.device,
    rounds: int,
    warmup: int = 1,
    case: str = "",
    baseline: str | None = None,
    clock: Callable[[], float] | None = None,
) -> list[Row]:
    """Time each candidate once per round; every other round goes backwards.

    Args:
        candidates: name to what is timed.
        device: where they run; a GPU is waited for.
        rounds: counted rounds.
        warmup: rounds before them that are not counted.
        case: what the candidates are given, in words.
        baseline: the candidate that ratios refer to (default: the first).
        clock: seconds (default: as :func:`clock_name` says).

    Returns:
        One row per candidate: median and quartiles of seconds, and of the ratio to the baseline in the same round.
    """
    names = list(candidates)
    baseline = baseline or names[0]
    now = clock or functools.partial(_now, device)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in track(range(-warmup, rounds), description=f"{case}: {', '.join(names)}", transient=True):
        for name in names if turn % 2 else reversed(names):
            gc.collect()
            start = now()
            candidates[name]()
            elapsed = now() - start
            if turn >= 0:
                seconds[name].append(elapsed)
    rows = []
    for name in names:
        ratios = [ours / base for ours, base in zip(seconds[name], seconds[baseline], strict=True)]
        low, median, high = quartiles(seconds[name])
        ratio_low, ratio, ratio_high = quartiles(ratios)
        rows.append(
            Row(
                case=case, name=name, seconds=median, seconds_quartiles=(low, high), rounds=rounds, baseline=baseline,
                ratio=ratio, ratio_quartiles=(ratio_low, ratio_high),
            )
        )  # fmt: skip
    return rows


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile; a single value is all three."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, median, high


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int | None = None) -> float:
    """Measured FLOP/s of a large square matrix product: the speed that ``share_of_matmul`` refers to."""
    size = size or (8192 if device.type == "cuda" else 1024)
    a, b = torch.randn(2, size, size, device=device, dtype=dtype).unbind(0)
    (row,) = interleave({"matmul": lambda: a @ b}, device, rounds=10, warmup=3, case=f"{size} x {size}")
    return 2 * size**3 / row.seconds
