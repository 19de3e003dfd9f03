"""Eight real pictures are learnt by heart from a pre-trained tiny ViT: pipeline, losses and metric agree."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mixedae.files import ROOT
from tests.conftest import made_once

MINI = "mm_configs/mini"
CAMVID = "tests/configs/overfit_camvid.py"
COCO = f"{MINI}/detection/cascade-mask-rcnn_mixedae-vit-mini_fpn_20e_coco-small.py"
PRETRAIN = f"{MINI}/pretrain/mixedae_vit-mini-p8_1xb64-coslr-3e_tiny-imagenet.py"


def train(config: str, work_dir: Path, samples: Path, *options: str) -> dict:
    """The record of a training run, as a user starts it."""
    env = {
        **os.environ,
        "MIXEDAE_DATA_IMAGENET": str(samples / "tiny_imagenet100"),
        "MIXEDAE_DATA_CAMVID": str(samples / "camvid"),
        "MIXEDAE_DATA_COCO": str(samples / "coco_tiny"),
    }  # fmt: skip
    command = [sys.executable, "tools/train.py", config, "--work-dir", str(work_dir), "--cfg-options", *options]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((work_dir / "run_record.json").read_text())


@pytest.fixture(scope="module")
def checkpoint(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini ViT after three epochs on 6,400 pictures of Tiny ImageNet."""
    indices = "train_dataloader.dataset.indices=6400"
    folder = made_once(tmp_path_factory, "pretrain", lambda folder: train(PRETRAIN, folder, sample_data, indices))
    return folder / json.loads((folder / "run_record.json").read_text())["checkpoint"]


@pytest.mark.slow
@pytest.mark.train
def test_eight_coco_pictures(checkpoint: Path, sample_data: Path, tmp_path: Path) -> None:
    record = train(COCO, tmp_path, sample_data, f"model.backbone.init_cfg.checkpoint={checkpoint}")
    assert record["num_val_images"] == 8 and record["load_report"]["matched"] == 51
    assert record["metrics"]["coco/bbox_mAP"] > 0.8
    assert record["metrics"]["coco/segm_mAP"] > 0.5


@pytest.mark.slow
@pytest.mark.train
def test_eight_camvid_pictures(checkpoint: Path, sample_data: Path, tmp_path: Path) -> None:
    """All eleven classes, thin and rare ones too, up to what the decoder's resolution lets through."""
    record = train(CAMVID, tmp_path, sample_data, f"model.backbone.init_cfg.checkpoint={checkpoint}")
    assert record["num_val_images"] == 8 and record["load_report"]["matched"] == 51
    assert record["metrics"]["aAcc"] > 95
    assert record["metrics"]["mIoU"] > 78
