"""tools/train.py, tools/test.py and upstream's own scripts, as a user calls them."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from mixedae.files import ROOT
from tests.forked import run_forked

CLASSIFICATION = "mm_configs/mini/classification/mixedae-vit-mini-p8_1xb32-coslr-60e_mini.py"
SEGMENTATION = "mm_configs/mini/segmentation/mixedae-vit-mini_upernet_1xb4-20e_mini-128x128.py"
FULL = "mm_configs/classification/mixedae-vit-base-p16_8xb128-amp-coslr-100e_in1k.py"
RANDOM = "model.backbone.init_cfg.checkpoint=random"
# Two steps: 10 or 30 pictures, one epoch.
SHORT = {
    CLASSIFICATION: ["train_dataloader.batch_size=15", "train_cfg.max_epochs=1", RANDOM],
    SEGMENTATION: ["train_dataloader.batch_size=5", "train_cfg.max_epochs=1", RANDOM],
}


def environment(data: Path | None, **variables: str) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MIXEDAE_DATA_", "LOCAL_RANK"))}
    return env | {"MIXEDAE_DATA_MINI": str(data or "/nonexistent")} | variables


def call(*command: str | Path, data: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """In a fork of a process that has imported the libraries: what the command does, in a sixth of the time."""
    return run_forked(*command, env=environment(data, **variables))


def call_fresh(*command: str | Path, data: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """In a fresh interpreter, as a user does: the command's own imports, and their order, are tested too."""
    env = environment(data, **variables)
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
    )


def upstream(package: str, script: str) -> Path:
    (folder,) = find_spec(package).submodule_search_locations
    return Path(folder) / ".mim" / "tools" / script


def fails(done: subprocess.CompletedProcess[str], error: str, *words: str) -> None:
    """One line of error, no traceback, exit code 1."""
    assert done.returncode == 1, done.stderr
    assert f"error: {error}: " in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    message = done.stderr[done.stderr.index("error: ") :]
    assert all(word in message for word in words), message


@pytest.mark.parametrize("script", ["train.py", "test.py"])
def test_help_does_not_wait_for_torch(script: str) -> None:
    code = "import runpy, sys; sys.argv = [sys.argv[1], '--help']; sys.path.insert(0, 'tools')\n"
    code += "try: runpy.run_path(sys.argv[0], run_name='__main__')\nexcept SystemExit: print('torch' in sys.modules)"
    done = call_fresh("-c", code, f"tools/{script}")
    assert done.stdout.endswith("False\n") and "--launcher" in done.stdout and not done.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["nowhere.py"], "ConfigError", ["no config file nowhere.py"]),
        ([SEGMENTATION, "--launcher", "pytorch"], "LauncherError", ["LOCAL_RANK", "dist_train.sh"]),
        ([SEGMENTATION, "--launcher", "slurm"], "LauncherError", ["SLURM_PROCID"]),
        ([SEGMENTATION, "--cfg-options", "train_dataloder.batch_size=4"], "ConfigError", ["`train_dataloader`?"]),
        ([SEGMENTATION, "--cfg-options", "lr=1"], "ConfigError", ["`lr`", "change nothing"]),
    ],
)
def test_mistakes_are_told_at_once(arguments: list[str], error: str, words: list[str]) -> None:
    fails(call("tools/train.py", *arguments), error, *words)


def test_mixed_precision_without_gpu_is_an_error() -> None:
    done = call("tools/train.py", FULL, CUDA_VISIBLE_DEVICES="")
    fails(done, "ConfigError", "AmpOptimWrapper", "optim_wrapper.type=OptimWrapper")


@pytest.mark.train
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ([], "WeightsError", ["model.backbone.init_cfg.checkpoint"]),
        ([RANDOM, "model.neck.rescale=[4,2,1,0.5]"], "ConfigError", ["rescale", "did you mean `rescales`?"]),
        ([RANDOM, "model.backbone.img_size=100"], "ImageSizeError", ["patches of 8", "100"]),
    ],
)
def test_bad_input_is_told_before_training(
    options: list[str], error: str, words: list[str], mini_data: Path, tmp_path: Path
) -> None:
    options = ["--cfg-options", *options] if options else []
    done = call("tools/train.py", SEGMENTATION, "--work-dir", tmp_path, *options, data=mini_data)
    fails(done, error, *words)


@pytest.mark.train
def test_missing_data_is_told_before_training(tmp_path: Path) -> None:
    done = call("tools/train.py", CLASSIFICATION, "--work-dir", tmp_path, "--cfg-options", RANDOM, data=tmp_path / "no")
    fails(done, "DataError", str(tmp_path / "no"), "MIXEDAE_DATA_MINI")


@pytest.mark.train
@pytest.mark.parametrize(("config", "package"), [(CLASSIFICATION, "mmpretrain"), (SEGMENTATION, "mmseg")])
def test_train_and_test_agree_with_upstreams_scripts(
    config: str, package: str, mini_data: Path, tmp_path: Path
) -> None:
    """Two steps with our train.py and with upstream's give the same metrics, and so do both test.py."""
    ours, theirs, out = tmp_path / "ours", tmp_path / "theirs", tmp_path / "metrics.json"
    options = ["--cfg-options", *SHORT[config]]
    trained = call("tools/train.py", config, "--work-dir", ours, *options, data=mini_data)
    assert trained.returncode == 0, trained.stderr
    record = json.loads((ours / "run_record.json").read_text())
    assert (record["status"], record["iterations"]) == ("finished", 2)

    script = upstream(package, "train.py")
    done = call_fresh(script, config, "--work-dir", theirs, *options, data=mini_data)
    assert done.returncode == 0, done.stderr
    assert json.loads((theirs / "run_record.json").read_text())["metrics"] == record["metrics"]

    checkpoint = ours / "epoch_1.pth"
    tested = call("tools/test.py", config, checkpoint, "--work-dir", ours / "test", "--out", out, data=mini_data)
    assert tested.returncode == 0, tested.stderr
    metrics = json.loads(out.read_text())
    assert metrics == pytest.approx(record["metrics"])
    assert all(name in tested.stdout for name in metrics)

    done = call(upstream(package, "test.py"), config, checkpoint, "--work-dir", theirs / "test", data=mini_data)
    assert done.returncode == 0, done.stderr
    logs = "".join(p.read_text() for p in (theirs / "test").rglob("*.json"))
    name, value = next(iter(metrics.items()))
    assert f'"{name}": {value}' in logs

    # a checkpoint that does not fit is refused, where mmengine would test random weights
    other = ["--cfg-options", "model.backbone.arch.num_layers=7"]
    fails(call("tools/test.py", config, checkpoint, "--work-dir", ours, *other, data=mini_data), "WeightsError")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    fails(call("tools/test.py", config, checkpoint, "--work-dir", ours, data=mini_data), "WeightsError", "epoch_1.pth")
    done = call(upstream(package, "test.py"), config, checkpoint, "--work-dir", theirs / "test", data=mini_data)
    assert done.returncode and "WeightsError" in done.stderr


@pytest.mark.train
def test_resume_and_what_is_refused_by_the_commands(mini_data: Path, tmp_path: Path) -> None:
    """R07 and R20 through tools/train.py and tools/test.py; the cases are in tests/engine/test_resuming.py."""
    run, marker = tmp_path / "run", tmp_path / "marker"
    options = ["--cfg-options", *SHORT[CLASSIFICATION]]
    refused = call("tools/train.py", CLASSIFICATION, "--work-dir", run, "--resume", *options, data=mini_data)
    fails(refused, "WeightsError", "nothing to resume from", str(run))
    assert not run.exists()
    run.mkdir()
    leftover = run / ".epoch_1.pth.elsewhere.1.tmp"
    leftover.touch()
    os.utime(leftover, (0, 0))
    trained = call("tools/train.py", CLASSIFICATION, "--work-dir", run, *options, data=mini_data)
    assert trained.returncode == 0 and not leftover.exists(), trained.stderr
    metrics = json.loads((run / "run_record.json").read_text())["metrics"]

    # the text in meta.config would be run by mmengine, and so would the object in the file after it
    checkpoint = torch.load(run / "epoch_1.pth", weights_only=False)
    checkpoint["meta"]["config"] = f"open({str(marker)!r}, 'w').close()"
    torch.save(checkpoint, run / "epoch_1.pth")
    done = call("tools/train.py", CLASSIFICATION, "--work-dir", run, "--resume", *options, data=mini_data)
    assert done.returncode == 0, done.stderr
    assert "This run is finished, nothing is left to train" in done.stdout + done.stderr
    assert json.loads((run / "run_record.json").read_text())["metrics"] == pytest.approx(metrics)
    checkpoint["bomb"] = Bomb(marker)
    torch.save(checkpoint, run / "epoch_1.pth")
    for command in (
        ["tools/test.py", CLASSIFICATION, run / "epoch_1.pth", "--work-dir", run],
        ["tools/train.py", CLASSIFICATION, "--work-dir", run, "--resume", *options],
        ["tools/train.py", CLASSIFICATION, "--work-dir", run, "--resume", run / "epoch_1.pth", *options],
        [
            "tools/train.py",
            CLASSIFICATION,
            "--work-dir",
            tmp_path / "new",
            *options,
            f"load_from={run / 'epoch_1.pth'}",
        ],
    ):
        fails(call(*command, data=mini_data), "WeightsError", "epoch_1.pth is refused as unsafe")
    assert not marker.exists()


class Bomb:
    """Creates a file when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("key", ["load_from", "resume"])
def test_a_test_reads_no_second_checkpoint(key: str) -> None:
    done = call("tools/test.py", CLASSIFICATION, "x.pth", "--cfg-options", f"{key}=y.pth")
    fails(done, "ConfigError", f"{key} found in --cfg-options", "x.pth")


@pytest.fixture
def fake_commands(tmp_path: Path) -> dict[str, str]:
    """torchrun and srun that print their arguments, one a line."""
    for name in ("torchrun", "srun"):
        (tmp_path / name).write_text('#!/bin/sh\nfor a in "$@"; do echo "$a"; done\n')
        (tmp_path / name).chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


def test_dist_train_passes_everything_on(fake_commands: dict[str, str]) -> None:
    env = {**fake_commands, "NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "host"}
    command = ["tools/dist_train.sh", "a config.py", "4", "--cfg-options", 'x="[1, 2]"']
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert {"--nnodes=2", "--node_rank=1", "--master_addr=host", "--nproc_per_node=4"} <= set(lines)
    script = next(i for i, line in enumerate(lines) if line.endswith("tools/train.py"))
    assert lines[script + 1 :] == ["a config.py", "--launcher", "pytorch", "--cfg-options", 'x="[1, 2]"']


def test_slurm_train_starts_one_torchrun_a_node(fake_commands: dict[str, str]) -> None:
    env = {**fake_commands, "GPUS": "16", "GPUS_PER_NODE": "8", "SRUN_ARGS": "--time=1-0 --mem=0"}
    command = ["tools/slurm_train.sh", "gpu", "job", "a config.py", "work dir", "--resume"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert {"--nodes=2", "--ntasks-per-node=1", "--gres=gpu:8", "--time=1-0", "--mem=0"} <= set(lines)
    assert lines[-5:] == ["a config.py", "--work-dir=work dir", "--launcher", "pytorch", "--resume"]


@pytest.mark.parametrize("script", ["dist_train.sh", "slurm_train.sh"])
def test_scripts_say_how_they_are_called(script: str) -> None:
    done = subprocess.run([f"tools/{script}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("usage: ")


def test_paths_with_blanks_and_quotes(tmp_path: Path) -> None:
    """An option's value keeps its blanks; mmengine would drop them. What cannot stand in a config is named."""
    spaced = tmp_path / "a b"
    spaced.mkdir()
    done = call("tools/train.py", CLASSIFICATION, "--show", "--cfg-options", f"load_from={spaced}/x y.pth")
    assert done.returncode == 0 and f"{spaced}/x y.pth" in done.stdout, done.stderr
    fails(
        call("tools/train.py", CLASSIFICATION, "--show", data=tmp_path / 'a"b'), "DataError", "MIXEDAE_DATA_MINI=", '"'
    )
    done = call("tools/train.py", CLASSIFICATION, "--cfg-options", "randomness.seed")
    assert done.returncode == 2 and "expected KEY=VALUE" in done.stderr


def test_dist_train_takes_a_free_port(fake_commands: dict[str, str]) -> None:
    env = {key: value for key, value in fake_commands.items() if key not in ("PORT", "NNODES")}
    command = ["tools/dist_train.sh", "config.py", "2"]
    outs = [subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True).stdout for _ in range(2)]
    ports = [line for out in outs for line in out.splitlines() if line.startswith("--master_port=")]
    assert len(ports) == 2 and all(int(port.split("=")[1]) > 1023 for port in ports)
