"""What cannot be read is named; training skips a few, tests none; workers that die or hang end the run."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS
from PIL import Image
from torch.utils.data import get_worker_info

from mixedae.datasets.unreadable import Skipping
from mixedae.engine import StrictRunner
from mixedae.engine.loops import dead_workers_named
from mixedae.errors import DataError, WorkerError
from tests.engine.drawing import DrawingData, drawing_config, train


@DATASETS.register_module(force=True)
class FileData(BaseDataset):
    """Pictures of a folder; an item is read by Pillow, as mmcv's loader would, and fails as that does."""

    METAINFO = {"classes": ("a",)}

    def load_data_list(self) -> list[dict]:
        return [{"img_path": str(path)} for path in sorted(Path(self.data_root).glob("*.png"))]

    def prepare_data(self, idx: int) -> dict:
        with Image.open(self.get_data_info(idx)["img_path"]) as image:
            return {"inputs": torch.tensor([float(x) for x in np.asarray(image)[0, 0]] + [float(idx)])}


@DATASETS.register_module(force=True)
class FailingData(DrawingData):
    """A worker that dies or hangs at an item."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def __getitem__(self, index: int) -> dict:
        if index == 5 and get_worker_info() is not None:
            if self.how == "dies":
                os.kill(os.getpid(), 9)
            time.sleep(60)
        return super().__getitem__(index)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)


def pictures(folder: Path, count: int, bad: tuple[int, ...] = ()) -> Path:
    folder.mkdir()
    for i in range(count):
        Image.new("RGB", (4, 4), (i, 2 * i, 3 * i)).save(folder / f"{i:02}.png")
    for i in bad:
        path = folder / f"{i:02}.png"
        path.write_bytes(path.read_bytes()[: 40 * (i % 2)])
    return folder


def config(tmp_path: Path, good: Path, bad: Path, workers: int = 0, split: str = "train", **changes: Any) -> Config:
    roots = {"train": good, "val": good} | {split: bad}
    data = {
        f"{name}_dataloader.dataset": {"_delete_": True, "type": "FileData", "data_root": str(root)}
        for name, root in roots.items()
    }
    return drawing_config(tmp_path / f"run_{split}_{workers}", True, workers, False, **data, **changes)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_picture_that_does_not_decode_is_named(tmp_path: Path, workers: int, split: str) -> None:
    good, bad = pictures(tmp_path / "good", 14), pictures(tmp_path / "bad", 14, (5,))
    cfg = config(tmp_path, good, bad, workers, split, **{"val_dataloader.num_workers": workers})
    with pytest.raises(DataError, match=r"bad/05\.png cannot be decoded: "):
        StrictRunner.from_cfg(cfg).train()


@pytest.mark.parametrize("workers", [0, 2])
def test_few_are_skipped_and_counted_once(tmp_path: Path, workers: int, capfd: pytest.CaptureFixture) -> None:
    good, bad = pictures(tmp_path / "good", 14), pictures(tmp_path / "bad", 14, (4, 5))
    runner = StrictRunner.from_cfg(config(tmp_path, good, bad, workers, unreadable_share=0.2))
    runner.train()
    data: Any = runner.train_dataloader.dataset
    assert (data.skipping.count, data.skipping.most, runner.iter) == (2, 2, 21)
    assert capfd.readouterr().err.count("skipped: ") == 2  # not once an epoch


def test_a_run_with_skipped_pictures_is_exact_too(tmp_path: Path) -> None:
    good, bad = pictures(tmp_path / "good", 14), pictures(tmp_path / "bad", 14, (4, 5))
    from tests.engine.test_exact import assert_same, state

    for workers in (0, 2):
        assert train(config(tmp_path, good, bad, workers, unreadable_share=0.2)) == 0
    folders = [tmp_path / f"run_train_{workers}" for workers in (0, 2)]
    assert_same(state(folders[0], "iter_21.pth"), state(folders[1], "iter_21.pth"))


@pytest.mark.parametrize(("pictures_of_set", "most"), [(9_999, 0), (10_000, 1), (1_281_167, 128)])
def test_the_cap_is_a_share_of_the_set(pictures_of_set: int, most: int) -> None:
    skipping = Skipping(pictures_of_set)
    cause = DataError("x.jpg cannot be decoded")
    for index in range(most):
        skipping.note(index, cause)
        skipping.note(index, cause)
    with pytest.raises(DataError, match=rf"x\.jpg .*{most + 1} of {pictures_of_set} training pictures.*{most} may be"):
        skipping.note(most, cause)


def test_a_fault_of_the_code_is_not_blamed_on_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = pictures(tmp_path / "good", 14)
    cfg = config(tmp_path, good, good)
    monkeypatch.setattr(FileData, "prepare_data", lambda self, idx: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        StrictRunner.from_cfg(cfg).train()


@pytest.mark.parametrize(
    ("how", "message"), [("dies", "(killed by signal|exited unexpectedly)"), ("hangs", "timed out after 2 seconds")]
)
def test_r35_a_worker_that_dies_or_hangs_ends_the_run(tmp_path: Path, how: str, message: str) -> None:
    cfg = drawing_config(tmp_path, True, 2, False)
    cfg.train_dataloader.dataset = {"type": "FailingData", "how": how}
    cfg.train_dataloader.timeout = 2 if how == "hangs" else 60
    begun = time.monotonic()
    with pytest.raises(WorkerError, match=rf"DataLoader .*{message}.*--resume goes on from the last checkpoint"):
        StrictRunner.from_cfg(cfg).train()
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("named", [True, False], ids=["a worker's pipe", "another pipe"])
def test_r35_a_pipe_that_breaks_before_the_worker_is_missed(named: bool) -> None:
    """PyTorch says which worker died in a signal's handler, sometimes after the pipe to it broke."""

    def handler(*_: object) -> None:
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed. ")

    before = signal.signal(signal.SIGUSR2, handler)
    try:
        with pytest.raises(WorkerError if named else ConnectionResetError), dead_workers_named():
            if named:
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR2)).start()
            raise ConnectionResetError
    finally:
        signal.signal(signal.SIGUSR2, before)
