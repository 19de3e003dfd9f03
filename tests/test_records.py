"""What training writes and the harness reads: the names and keys on disk stay, old files are still read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from mixedae.records import (
    CHANCE_SCALAR,
    Progress,
    RunRecord,
    layer_of,
    layer_scalar,
    outcomes_array,
    read_progress,
    scalar_lines,
)

OLD_RECORD = {
    "status": "finished",
    "iterations": 10,
    "effective_batch": 4,
    "precision": "fp32",
    "world_size": 1,
    "wall_time_s": 1.5,
    "a key of the future": True,
}


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, mixedae.records; print([m for m in ('torch', 'numpy', 'mmengine') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_records_are_read_without_the_keys_that_may_lack_and_with_unknown_ones() -> None:
    record = RunRecord.model_validate(OLD_RECORD)
    assert (record.metrics, record.accumulation, record.checkpoint) == ({}, 1, None)
    with pytest.raises(ValidationError, match="finished"):
        RunRecord.model_validate({**OLD_RECORD, "status": "running"})


def test_progress_keeps_the_keys_on_disk() -> None:
    assert list(Progress().model_dump()) == [
        "phase", "epoch", "max_epochs", "iter", "max_iters", "loss", "lr", "eta_s", "metrics",
    ]  # fmt: skip


@pytest.mark.parametrize("text", [None, "", '{"iter": 3', "[]", "null", '{"loss": "low"}'])
def test_progress_that_cannot_be_read_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "progress.json").write_text(text)
    assert read_progress(tmp_path) is None
    (tmp_path / "progress.json").write_text('{"iter": 3, "max_iters": 9, "later": 1}')
    assert read_progress(tmp_path) == Progress(iter=3, max_iters=9)


def test_names_of_scalars_and_arrays() -> None:
    assert layer_scalar(12) == "recognition/layer_12" and layer_of("recognition/layer_12") == 12
    assert layer_of(CHANCE_SCALAR) is None and layer_of("train/recognition/layer_1") is None
    assert outcomes_array("coco/bbox_mAP", "score") == "coco/bbox_mAP:score"


def test_scalar_lines_of_all_starts_without_what_a_kill_cut_short(tmp_path: Path) -> None:
    for start, text in (("2", json.dumps({"loss": 2}) + '\n{"loss": '), ("1", json.dumps({"loss": 1}) + "\n[3]\n")):
        (tmp_path / start / "vis_data").mkdir(parents=True)
        (tmp_path / start / "vis_data/scalars.json").write_text(text)
    assert list(scalar_lines(tmp_path)) == [{"loss": 1}, {"loss": 2}]
