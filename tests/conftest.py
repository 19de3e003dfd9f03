"""Fixtures: real sample photographs (skipped where absent) and a tiny mini benchmark, made once for all workers."""

import fcntl
import gc
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import mixedae  # noqa: F401  # before any mmdet import: it makes mmcv._ext findable
from mixedae.files import ROOT
from tests.unformatted import leave_configs_unformatted

# The tests' tensors are small: more threads only wait for each other, and pytest-xdist's workers share the cores.
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
torch.set_num_threads(1)
leave_configs_unformatted()
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before the first import of Triton: its kernels run on CPU tensors


def pytest_collection_finish() -> None:
    """What is imported and collected stays to the end: no garbage collection needs to walk over it again and again."""
    gc.freeze()


SAMPLES = ("tiny_imagenet100", "camvid", "coco_tiny", "ade20k_sample")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of this test run, made by the first pytest-xdist worker that asks for it; the others wait.

    Args:
        factory: pytest's.
        name: of the folder.
        make: writes it whole. The folder is only read from then on.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # above the workers' own folders
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (base / name).exists():
            make(base / f"{name}.unfinished")
            (base / f"{name}.unfinished").rename(base / name)
    return base / name


@pytest.fixture(scope="session")
def sample_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the real sample photographs, unpacked; MIXEDAE_SAMPLE_DATA names the folder of archives."""
    archives = Path(os.environ.get("MIXEDAE_SAMPLE_DATA", ROOT.parent / "shared" / "data"))
    missing = [name for name in SAMPLES if not (archives / f"{name}.tar.gz").is_file()]
    if missing:
        pytest.skip(f"sample photographs are not here: {', '.join(missing)} (set MIXEDAE_SAMPLE_DATA)")

    def unpack(target: Path) -> None:
        for name in SAMPLES:
            with tarfile.open(archives / f"{name}.tar.gz") as archive:
                archive.extractall(target, filter="data")

    return made_once(tmp_path_factory, "samples", unpack)


@pytest.fixture(scope="session")
def mini_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mini benchmark with a few pictures a split."""
    from mixedae.datasets.mini.write import write_mini

    return made_once(tmp_path_factory, "mini", lambda root: write_mini(root, seed=0, scale="test"))
