"""tools/train.py, test.py and bench.py under a real torchrun, on CPUs: two processes do what one does."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mixedae.files import ROOT
from mixedae.weights import read_checkpoint
from tests.slurm.cluster import free_ports
from tests.tools.small_suite import write_small_suite

pytestmark = [pytest.mark.ddp, pytest.mark.train]

MINI = "mm_configs/mini"
CLASSIFICATION = f"{MINI}/classification/mixedae-vit-mini-p8_1xb32-coslr-60e_mini.py"
SEGMENTATION = f"{MINI}/segmentation/mixedae-vit-mini_upernet_1xb4-20e_mini-128x128.py"
DETECTION = f"{MINI}/detection/cascade-mask-rcnn_mixedae-vit-mini_fpn_10e_mini.py"
MAE = f"{MINI}/pretrain/mae_vit-mini-p8_1xb64-coslr-15e_mini.py"
MIXEDAE = f"{MINI}/pretrain/mixedae_vit-mini-p8_1xb64-coslr-15e_mini.py"
DINO = f"{MINI}/pretrain/dino_vit-mini-p8_1xb64-coslr-6e_mini.py"
SMALL = f"{MINI}/classification/small_mini.py"
RANDOM = "model.backbone.init_cfg.checkpoint=random"
PYTHON = [sys.executable]
TORCHRUN = [*PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def start(command: list[object], data: Path, **variables: str) -> "subprocess.Popen[str]":
    """A running command; its output is one text."""
    env = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    env |= {"MIXEDAE_DATA_MINI": str(data), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **variables}
    words = [str(word) for word in command]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(words, cwd=ROOT, env=env, **pipes)  # type: ignore[call-overload,no-any-return]


def call(command: list[object], data: Path, expected: int = 0, **variables: str) -> str:
    """The output of a command that ends with the expected status."""
    process = start(command, data, **variables)
    try:
        out, _ = process.communicate(timeout=400)
    finally:
        process.kill()
    assert process.returncode == expected, out
    return out


def two(script: str, *arguments: object) -> list[object]:
    """The command of two processes."""
    return [*TORCHRUN, f"tools/{script}", *arguments, "--launcher", "pytorch"]


def difference(one: Path, two: Path) -> float:
    """The largest between the parameters of two checkpoints; statistics of BatchNorm are each process's own."""
    states = [read_checkpoint(path)["state_dict"] for path in (one, two)]
    assert states[0].keys() == states[1].keys()
    names = [name for name in states[0] if "running_" not in name and "num_batches" not in name]
    return max(float((states[0][name].double() - states[1][name].double()).abs().max()) for name in names)


def record(folder: Path) -> dict:
    return json.loads((folder / "run_record.json").read_text())


def test_two_processes_train_and_validate(mini_data: Path, tmp_path: Path) -> None:
    """The validation has 19 pictures, which 2 does not divide."""
    options = ["train_dataloader.batch_size=5", "train_cfg.max_epochs=1", "val_dataloader.dataset.indices=19", RANDOM]
    out = call(two("train.py", CLASSIFICATION, "--work-dir", tmp_path, "--cfg-options", *options), mini_data)
    assert "effective batch 10 = 2 processes x 5 images" in out
    found = record(tmp_path)
    assert (found["world_size"], found["num_val_images"], found["iterations"]) == (2, 19, 3)
    with np.load(tmp_path / "outcomes.npz") as outcomes:
        correct = outcomes["accuracy/top1:correct"]
    assert len(correct) == 19 and found["metrics"]["accuracy/top1"] == pytest.approx(100 * correct.mean())
    assert (tmp_path / "ranks/rank_1.txt").is_file() and not (tmp_path / "ranks/rank_0.txt").exists()


# Schedules count iterations, of which one process has twice as many. Adam divides a gradient by its size: of one that
# is nearly zero rounding would decide the sign, and a step would differ by the whole learning rate.
STEADY = ["param_scheduler=None", "optim_wrapper.optimizer.eps=1e-3"]
EQUAL = {  # recipe, pictures of a process and iteration, pictures of an epoch, epochs of 10 iterations in all
    "MAE": (MAE, 4, 80, 1),
    "MAE, accumulated": (MAE, 4, 80, 1),
    "MixedAE": (MIXEDAE, 4, 80, 1),
    "classification": (CLASSIFICATION, 3, 30, 2),
    "segmentation": (SEGMENTATION, 2, 8, 5),
    "detection": (DETECTION, 1, 10, 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", EQUAL)
def test_two_processes_train_as_one(case: str, mini_data: Path, tmp_path: Path) -> None:
    """10 steps with the same pictures and draws give the same weights."""
    recipe, batch, pictures, epochs = EQUAL[case]
    accumulation = 2 if "accumulated" in case else 1
    options = [f"train_dataloader.batch_size={batch}", f"train_dataloader.dataset.indices={pictures}", *STEADY]
    options += [f"train_cfg.max_epochs={epochs}", *([] if "pretrain" in recipe else [RANDOM])]
    for name, command, factor in (
        ("one", [*PYTHON, "-m", "tests.tools.as_two", batch, recipe], 2),
        ("two", two("train.py", recipe), 1),
    ):
        given = [*options, f"optim_wrapper.accumulative_counts={factor * accumulation}"]
        call([*command, "--work-dir", tmp_path / name, "--cfg-options", *given], mini_data)
    one, other = (record(tmp_path / name) for name in ("one", "two"))
    assert one["effective_batch"] == other["effective_batch"] and one["iterations"] == 2 * other["iterations"]
    assert other["iterations"] == 10 and one["lr"] == other["lr"]
    worst = difference(*(tmp_path / name / f"epoch_{epochs}.pth" for name in ("one", "two")))
    print(f"{case}: largest difference {worst:.2g}")
    assert worst <= 1e-6


@pytest.mark.slow
def test_dino_of_two_processes_trains_as_one_with_twice_the_batch(mini_data: Path, tmp_path: Path) -> None:
    """Its centre is of the whole batch, so that accumulation would not do; nothing is drawn but pictures."""
    options = [*STEADY, "train_dataloader.dataset.indices=80", "train_cfg.max_epochs=1"]
    for name, command, batch in (("one", [*PYTHON, "tools/train.py", DINO], 8), ("two", two("train.py", DINO), 4)):
        given = [*options, f"train_dataloader.batch_size={batch}"]
        call([*command, "--work-dir", tmp_path / name, "--cfg-options", *given], mini_data)
    assert [record(tmp_path / name)["iterations"] for name in ("one", "two")] == [10, 10]
    assert difference(*(tmp_path / name / "epoch_1.pth" for name in ("one", "two"))) <= 1e-6


@pytest.mark.slow
def test_stopped_in_an_epoch_and_gone_on_exactly(mini_data: Path, tmp_path: Path) -> None:
    """SIGTERM to torchrun; and what was begun by two processes is not gone on with by one."""
    options = ["--cfg-options", "train_dataloader.batch_size=4", "train_cfg.max_epochs=8", "param_scheduler=None"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    call(two("train.py", MAE, "--work-dir", whole, *options), mini_data)
    process = start(two("train.py", MAE, "--work-dir", broken, *options), mini_data)
    end = time.monotonic() + 200
    while not (broken / "epoch_1.pth").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=100)
    assert process.returncode != 0 and "stops after this step" in out, out
    left = list(broken.glob("epoch_*.pth"))
    assert left and not (broken / "epoch_8.pth").exists(), out
    refused = call([*PYTHON, "tools/train.py", MAE, "--work-dir", broken, "--resume", *options], mini_data, expected=1)
    assert "world_size 2 then, 1 now" in refused
    call(two("train.py", MAE, "--work-dir", broken, "--resume", *options), mini_data)
    assert difference(whole / "epoch_8.pth", broken / "epoch_8.pth") == 0


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "pictures"), [(CLASSIFICATION, 19), (SEGMENTATION, 9), (DETECTION, 9)])
def test_two_processes_test_as_one(recipe: str, pictures: int, mini_data: Path, tmp_path: Path) -> None:
    small = ["train_cfg.max_epochs=1", "train_dataloader.batch_size=2", RANDOM]
    call([*PYTHON, "tools/train.py", recipe, "--work-dir", tmp_path, "--cfg-options", *small], mini_data)
    few = ["--cfg-options", f"test_dataloader.dataset.indices={pictures}"]
    metrics = []
    for name, command in (("one", [*PYTHON, "tools/test.py"]), ("two", two("test.py"))):
        arguments = [
            recipe,
            tmp_path / "epoch_1.pth",
            "--work-dir",
            tmp_path / name,
            "--out",
            tmp_path / f"{name}.json",
        ]
        place = command.index("tools/test.py") + 1
        call([*command[:place], *arguments, *command[place:], *few], mini_data)
        metrics.append(json.loads((tmp_path / f"{name}.json").read_text()))
    assert metrics[0] and metrics[0] == pytest.approx(metrics[1], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["knn", "linear"])
def test_probes_of_frozen_features(overlay: str, mini_data: Path, tmp_path: Path) -> None:
    """Metrics and each picture's outcome, from both processes, are one process's."""
    loop = {"knn": ["train_cfg.ks=[1,3,5]"], "linear": ["train_cfg.l2=[1.0,0.01]"]}[overlay]
    sizes = [f"{split}_dataloader.dataset.expected=None" for split in ("train", "val", "test")]
    found = []
    for name, command in (("one", [*PYTHON, "tools/train.py", SMALL]), ("two", two("train.py", SMALL))):
        options = [*loop, *sizes, f"train_cfg.cache={tmp_path / name / 'features'}", RANDOM]
        folder = ["--work-dir", tmp_path / name, "--overlay", overlay]
        call([*command, *folder, "--cfg-options", *options], mini_data)
        with np.load(tmp_path / name / "outcomes.npz") as outcomes:
            found.append((record(tmp_path / name)["metrics"], outcomes["accuracy/top1:correct"].tolist()))
    assert found[0][0] == pytest.approx(found[1][0]) and found[0][1] == found[1][1]


@pytest.mark.slow
def test_a_suite(mini_data: Path, tmp_path: Path) -> None:
    suite, folder = write_small_suite(tmp_path / "suite"), tmp_path / "work"
    command = [*PYTHON, "tools/bench.py", "run", suite, "--work-dir", folder, "--data", f"mini={mini_data}"]
    out = call([*command, "--launcher", "torchrun", "--processes", "2", "--limit", "2"], mini_data)
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("result.json")]
    assert len(results) == 4, out
    assert all(result["status"] == "limited" and result["run"]["world_size"] == 2 for result in results), results
    table = call([*PYTHON, "tools/bench.py", "table", suite, "--work-dir", folder, "--limit", "2"], mini_data)
    assert "MAE" in table


@pytest.mark.slow
def test_two_nodes(mini_data: Path, tmp_path: Path) -> None:
    """Two torchruns of one process each, which meet on loopback."""
    (port,) = free_ports(1)
    options = ["--cfg-options", "train_dataloader.batch_size=5", "train_cfg.max_epochs=1", RANDOM]
    place = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", port]
    processes = []
    for node in (0, 1):
        command = [*PYTHON, "-m", "torch.distributed.run", *place, "--node-rank", node, "tools/train.py"]
        command += [CLASSIFICATION, "--launcher", "pytorch", "--work-dir", tmp_path, *options]
        processes.append(start(command, mini_data))
    outs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outs
    assert record(tmp_path)["world_size"] == 2


def children(process: int) -> list[int]:
    """The processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def rank_of(process: int) -> str:
    environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    return next((word[5:].decode() for word in environment if word.startswith(b"RANK=")), "")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_a_process_that_dies_or_hangs_ends_all(how: signal.Signals, mini_data: Path, tmp_path: Path) -> None:
    options = ["train_dataloader.batch_size=4", "train_cfg.max_epochs=10000", "env_cfg.dist_cfg.timeout=15"]
    options += ["default_hooks.checkpoint.interval=10"]
    process = start(two("train.py", MAE, "--work-dir", tmp_path, "--cfg-options", *options), mini_data)
    try:
        end = time.monotonic() + 200
        while not (tmp_path / "progress.json").exists() and time.monotonic() < end:
            time.sleep(0.1)
        begun = time.monotonic()
        (victim,) = [child for child in children(process.pid) if rank_of(child) == "1"]
        os.kill(victim, how)
        out, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 1 and time.monotonic() - begun < 90, out
    assert re.search(r"ProcessLostError: process 0 lost the others: process 1 did not answer", out), out
    if how == signal.SIGKILL:
        assert re.search(r"rank +: 1 ", out) and re.search(r"exitcode +: -9", out), out
