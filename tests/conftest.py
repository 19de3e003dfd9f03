"""Fixtures: real sample photographs (skipped where absent) and a tiny mini benchmark."""

import os
import tarfile
from pathlib import Path

import pytest
import torch

import mixedae  # noqa: F401  # before any mmdet import: it makes mmcv._ext findable
from mixedae.files import ROOT

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before the first import of Triton: its kernels run on CPU tensors

SAMPLES = ("tiny_imagenet100", "camvid", "coco_tiny", "ade20k_sample")


@pytest.fixture(scope="session")
def sample_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the real sample photographs, unpacked; MIXEDAE_SAMPLE_DATA names the folder of archives."""
    archives = Path(os.environ.get("MIXEDAE_SAMPLE_DATA", ROOT.parent / "shared" / "data"))
    missing = [name for name in SAMPLES if not (archives / f"{name}.tar.gz").is_file()]
    if missing:
        pytest.skip(f"sample photographs are not here: {', '.join(missing)} (set MIXEDAE_SAMPLE_DATA)")
    target = tmp_path_factory.mktemp("samples")
    for name in SAMPLES:
        with tarfile.open(archives / f"{name}.tar.gz") as archive:
            archive.extractall(target, filter="data")
    return target


@pytest.fixture(scope="session")
def mini_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mini benchmark with a few pictures a split."""
    from mixedae.datasets.mini.write import write_mini

    root = tmp_path_factory.mktemp("data") / "mini"
    write_mini(root, seed=0, scale="test")
    return root
