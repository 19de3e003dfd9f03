"""The state of code, packages and machine, without importing any of them."""

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from mixedae.benchmark.store.results import Provenance

PACKAGES = (
    "torch",
    "torchvision",
    "onedl-mmengine",
    "onedl-mmcv",
    "onedl-mmpretrain",
    "onedl-mmsegmentation",
    "onedl-mmdetection",
    "timm",
    "numpy",
    "mixedae",
)
CODE = ("mixedae", "mm_configs", "tools", "requirements.txt")  # what a number depends on; new files count too


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _output(*command: str, cwd: Path | None = None) -> str | None:
    """A command's output; None if it is not installed or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def code_version(root: Path) -> str | None:
    """The commit of the code in short, marked if it is changed; None outside a repository."""
    commit, changed = _code(root)
    if commit is None:
        return None
    return Provenance(commit=commit, dirty=changed, packages={}, hardware={}).version


def _code(root: Path) -> tuple[str | None, bool | None]:
    commit = _output("git", "rev-parse", "HEAD", cwd=root)
    changed = _output("git", "status", "--porcelain", "--", *CODE, cwd=root)
    return commit, None if changed is None else bool(changed)


def collect(root: Path) -> Provenance:
    """Code commit and dirty flag of ``root``, package versions, hardware."""
    commit, dirty = _code(root)
    gpus = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    hardware: dict[str, Any] = {
        "cpu": _cpu(),
        "cores": cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": gpus.splitlines() if gpus else [],
        "system": f"{platform.system()} {platform.release()}",
    }
    return Provenance(commit=commit, dirty=dirty, packages=_versions(), hardware=hardware)
