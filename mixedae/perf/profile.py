"""Where a training step's time goes, by PyTorch's profiler, with operators sorted into a few kinds."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from mixedae.perf.models import build_model
from mixedae.perf.report import Row
from mixedae.perf.steps import Step
from mixedae.perf.timing import quartiles

KINDS = {  # the first kind that names an operator or its caller gets it
    "AdamW": ("Optimizer.step", "_fused_adamw"),
    "homologous attention": ("mixedae::topk",),
    "plain attention": ("scaled_dot_product",),
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::matmul", "aten::linear"),
    "GELU": ("gelu",),
    "LayerNorm": ("layer_norm",),
    "copies and look-ups": ("copy", "clone", "contiguous", "::cat", "index", "gather", "scatter", "where"),
}
WHOLE, OTHER = "whole step", "all else"


def kind_of(event: Any) -> str:
    """The kind of an operator, by its name or its nearest caller's; AdamW and homologous attention with all parts.

    Args:
        event: of the profiler, with ``name`` and ``cpu_parent``.
    """
    names = []
    while event is not None:
        names.append(event.name)
        event = event.cpu_parent
    for kind in ("AdamW", "homologous attention"):
        if any(part in name for name in names for part in KINDS[kind]):
            return kind
    for name in names:
        for kind, parts in KINDS.items():
            if any(part in name for part in parts):
                return kind
    return OTHER


def seconds_by_kind(work: Callable[[], Any], device: torch.device) -> Counter[str]:
    """Profile one call: seconds on the device, each operator without the operators that it calls.

    Args:
        work: what to run.
        device: where it runs.

    Returns:
        Kind to seconds; ``whole step`` is their sum.
    """
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if on_gpu else [])
    with profile(activities=activities) as profiler:
        work()
    seconds: Counter[str] = Counter()
    for event in profiler.events():
        if event.device_type.name != "CPU":  # a kernel; it is counted at the operator that started it
            continue
        own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        seconds[kind_of(event)] += own / 1e6
    seconds[WHOLE] = sum(seconds.values())
    return seconds


def measure_profile(
    device: torch.device, arch: str, batch: int, img_size: int, depth: int | None, dtype: torch.dtype, rounds: int
) -> Iterator[Row]:
    """Profile steps of MAE and MixedAE in turn, after one that is not counted.

    Args:
        device: where.
        arch: ``base`` or ``large``.
        batch: images.
        img_size: side of the images.
        depth: encoder layers; None is the architecture's.
        dtype: of autocast; fp32 is without.
        rounds: profiled steps of each.
    """
    images: Tensor = torch.randn(batch, 3, img_size, img_size, device=device)
    steps = {
        name: Step(build_model(name, arch, img_size, depth).to(device), images, dtype, fused=True)
        for name in ("MAE", "MixedAE")
    }
    for step in steps.values():
        step()
    found = [{name: seconds_by_kind(step, device) for name, step in steps.items()} for _ in range(rounds)]
    for name in steps:
        for kind in (WHOLE, *KINDS, OTHER):
            low, median, high = quartiles([turn[name][kind] for turn in found])
            ratio_low, ratio, ratio_high = quartiles([turn[name][kind] / turn[name][WHOLE] for turn in found])
            yield Row(
                case=f"{name}, ViT-{arch[0].upper()} {img_size} px B {batch}", name=kind, seconds=median,
                seconds_quartiles=(low, high), rounds=rounds, baseline=WHOLE, ratio=ratio,
                ratio_quartiles=(ratio_low, ratio_high),
            )  # fmt: skip
