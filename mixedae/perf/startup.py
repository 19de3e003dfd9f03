"""How long commands take to start: imports, ``bench.py ls``, training from the shell to its first iteration."""

import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from mixedae.errors import ConfigError
from mixedae.files import ROOT
from mixedae.perf.report import Row
from mixedae.perf.timing import interleave

RECIPE = "mm_configs/mini/pretrain/mixedae_vit-mini-p8_1xb64-coslr-15e_mini.py"
IMPORTS = "import torch, mmengine.runner, mmpretrain.datasets, mmpretrain.models, mixedae.models, mixedae.engine"


def _childrens_time() -> float:
    """CPU seconds of all child processes that have ended; other work on the machine does not count."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _run(*command: str) -> None:
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-300:]}")


def _first_iteration() -> None:
    """Start training and stop it when its log file shows iteration 1."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["tools/train.py", RECIPE, "--work-dir", folder, "--cfg-options", "default_hooks.logger.interval=1"]
        with subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            while process.poll() is None:
                logs = "".join(file.read_text() for file in Path(folder).rglob("*.log"))
                if re.search(r"\[\s*1/\d+\]", logs):
                    process.kill()
                    return
                time.sleep(0.02)
            assert process.stderr is not None
            raise ConfigError(f"tools/train.py ended before its first iteration: {process.stderr.read()[-500:]}")


def measure_startup(rounds: int) -> list[Row]:
    """Time whole processes; the imports that training cannot do without are the baseline.

    Args:
        rounds: how often each is timed.

    Raises:
        ConfigError: a command failed; training needs the mini data (tools/data.py mini).
    """
    candidates: dict[str, Callable[[], None]] = {
        "imports of training": lambda: _run("-c", IMPORTS),
        "bench.py ls": lambda: _run("tools/bench.py", "ls"),
        "bench.py --help": lambda: _run("tools/bench.py", "--help"),
        "train.py to iteration 1": _first_iteration,
    }
    return interleave(candidates, torch.device("cpu"), rounds, warmup=0, case="process", clock=_childrens_time)
