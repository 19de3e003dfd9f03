"""Two processes through gloo: the same training as one, stopped together, exact after a stop or a death."""

import json
import os
import signal
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import torch

from mixedae.weights import read_checkpoint
from tests.engine.test_exact import assert_same, state
from tests.forked import Forked

pytestmark = [pytest.mark.ddp, pytest.mark.train]


def launch(folder: Path, kind: str, processes: int = 2, **changes: Any) -> list[tuple[int, str]]:
    """Exit code and output of each process."""
    meeting = folder.parent / f"meeting{uuid.uuid4().hex}"
    running = []
    for rank in range(processes):
        ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes), "MEETING": str(meeting)}
        text = json.dumps({key.replace("__", "."): value for key, value in changes.items()})
        running.append(Forked("tests.engine.ddp_exact", folder, kind, text, env=os.environ | ranks))
    try:
        return [(done.returncode, done.stdout + done.stderr) for done in (process.wait(90) for process in running)]
    finally:
        for process in running:
            process.kill()


def codes(results: list[tuple[int, str]]) -> list[int]:
    return [code for code, _ in results]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_r18_r19_two_processes_train_and_measure_as_one(tmp_path: Path, accumulation: int) -> None:
    """12 steps of 8 pictures; the validation has 7, which 2 does not divide."""
    settings = {"optim_wrapper__accumulative_counts": accumulation, "auto_scale_lr__base_batch_size": 4 * accumulation}
    for processes in (1, 2):
        batch = {"train_dataloader__batch_size": 4 // processes}
        results = launch(tmp_path / f"{processes}", "toy", processes, **settings, **batch)
        assert codes(results) == [0] * processes, results
    one, two = (read_checkpoint(tmp_path / name / "epoch_3.pth")["state_dict"] for name in "12")
    assert all(torch.allclose(one[name], two[name], atol=1e-6, rtol=0) for name in one)
    metrics = [json.loads((tmp_path / name / "run_record.json").read_text())["metrics"] for name in "12"]
    assert metrics[0]["toy/n"] == metrics[1]["toy/n"] == 7
    assert metrics[0]["toy/mean"] == pytest.approx(metrics[1]["toy/mean"], abs=1e-6)


def test_r24_another_number_of_processes_cannot_resume(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert codes(launch(folder, "toy")) == [0, 0]
    ((code, out),) = launch(folder, "toy", 1, resume=True)
    assert code == 1 and "world_size 2 then, 1 now" in out


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGKILL, None), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)], ids=lambda x: str(x)
)
def test_r39_a_rank_that_dies_or_is_stopped_ends_both_and_resume_is_exact(
    tmp_path: Path, number: signal.Signals, expected: int | None
) -> None:
    whole, broken, even = tmp_path / "whole", tmp_path / "broken", {"train_dataloader__dataset__length": 16}
    assert codes(launch(whole, "drawing", **even)) == [0, 0]
    begun = time.monotonic()
    ended = launch(broken, "drawing", **even, **{"rank 1": {"kill": 7, "number": int(number)}})
    assert time.monotonic() - begun < 60
    if expected is None:
        assert ended[1][0] == -signal.SIGKILL and ended[0][0] not in (0, None), ended
    else:
        assert codes(ended) == [expected, expected], ended
    results = launch(broken, "drawing", **even, resume=True)
    assert codes(results) == [0, 0], results
    assert_same(state(broken, "iter_12.pth"), state(whole, "iter_12.pth"))


@pytest.mark.parametrize(("seed", "folder", "locale"), [("0", "/", "C"), ("1", "/usr", "C.UTF-8")])
def test_r15_neither_hashes_nor_place_nor_locale_matter(
    tmp_path: Path, seed: str, folder: str, locale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh interpreter, because the order of sets is drawn when it starts."""
    import subprocess
    import sys

    from mixedae.files import ROOT

    code = (
        "import os, sys\nfrom pathlib import Path\nos.chdir(sys.argv[2])\n"
        "from tests.engine.drawing import drawing_config\n"
        "from mixedae.engine import StrictRunner\n"
        "StrictRunner.from_cfg(drawing_config(Path(sys.argv[1]), True, 2, False)).train()"
    )
    env = os.environ | {"PYTHONHASHSEED": seed, "LC_ALL": locale, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a"), folder], env=env, capture_output=True)
    assert done.returncode == 0, done.stderr
    from tests.engine.drawing import drawing_config, train

    assert train(drawing_config(tmp_path / "b", True, 2, False)) == 0
    assert_same(state(tmp_path / "a", "iter_21.pth"), state(tmp_path / "b", "iter_21.pth"))
