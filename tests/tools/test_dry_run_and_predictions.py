"""tools/train.py --dry-run; tools/test.py --predictions --pictures: the files that they leave."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tools.test_train_test import CLASSIFICATION, RANDOM, SEGMENTATION, SHORT, call, call_fresh, fails

DETECTION = "mm_configs/mini/detection/cascade-mask-rcnn_mixedae-vit-mini_fpn_10e_mini.py"


@pytest.mark.train
def test_a_dry_run_tells_and_leaves_no_checkpoint(mini_data: Path, tmp_path: Path) -> None:
    done = call("tools/train.py", SEGMENTATION, "--work-dir", tmp_path, "--dry-run", "--cfg-options", RANDOM,
                "train_dataloader.batch_size=2", "optim_wrapper.accumulative_counts=2", data=mini_data)  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "dry_run.json").read_text())
    assert facts["pictures"] == {"train": 10, "val": 10} and len(facts["losses"]) == len(facts["step_s"]) == 2
    assert (facts["effective_batch"], facts["iterations"], facts["optimizer_steps"]) == (4, 100, 50)
    assert facts["estimated_s"] == pytest.approx(facts["step_s"][1] * 100)
    assert facts["parameters"] == facts["trainable"] > 0 and Path(facts["config"]).is_file()
    assert facts["validated"] == 2
    for words in ("effective batch 4 = 1 process x 2 images x 2 accumulation", "train 10, val 10", "estimated time:"):
        assert words in done.stdout
    assert not list(tmp_path.rglob("*.pth")) and not (tmp_path / "run_record.json").exists()


@pytest.mark.train
@pytest.mark.parametrize("config", [CLASSIFICATION, SEGMENTATION, DETECTION])
def test_predictions_and_pictures(config: str, mini_data: Path, tmp_path: Path) -> None:
    options = SHORT.get(config, ["train_cfg.max_epochs=1", "train_dataloader.dataset.indices=4", RANDOM])
    trained = call_fresh("tools/train.py", config, "--work-dir", tmp_path, "--cfg-options", *options, data=mini_data)
    assert trained.returncode == 0, trained.stderr
    out, metrics = tmp_path / "out", tmp_path / "metrics.json"
    test = call_fresh if config == DETECTION else call
    done = test("tools/test.py", config, tmp_path / "epoch_1.pth", "--work-dir", tmp_path / "test", "--out", metrics,
                "--predictions", out, "--pictures", 2, data=mini_data)  # fmt: skip
    assert done.returncode == 0, done.stderr
    entries = json.loads((out / "predictions.json").read_text())
    assert len(entries) == {CLASSIFICATION: 20}.get(config, 10) and all(Path(e["image"]).is_file() for e in entries)
    if config == CLASSIFICATION:
        right = sum(entry["label"] == entry["truth"] for entry in entries)
        assert 100 * right / len(entries) == pytest.approx(json.loads(metrics.read_text())["accuracy/top1"])
    elif config == SEGMENTATION:
        for entry in entries:
            with Image.open(out / entry["mask"]) as mask:
                assert mask.size == (128, 128) and np.asarray(mask).max() <= 10
    else:
        assert all(
            set(i) <= {"bbox", "score", "label", "class", "segmentation"} for e in entries for i in e["instances"]
        )
    drawn = list((out / "pictures").glob("*.png"))
    assert len(drawn) == 2
    for path in drawn:
        with Image.open(path) as picture:
            assert min(picture.size) >= 384 and len(np.unique(np.asarray(picture))) > 10

    # the same picture without labels, in a folder of its own
    folder, own = tmp_path / "unlabelled" / "deep", tmp_path / "own"
    folder.mkdir(parents=True)
    shutil.copy(entries[1]["image"], folder)
    done = test("tools/predict.py", config, tmp_path / "epoch_1.pth", folder.parent, "--out", own, data=mini_data)
    assert done.returncode == 0 and "1 of them drawn" in done.stdout, done.stderr
    (entry,) = json.loads((own / "predictions.json").read_text())
    if config == SEGMENTATION:
        assert (own / entry["mask"]).read_bytes() == (out / entries[1]["mask"]).read_bytes()
        assert entry["mask"].startswith("masks/deep/")
    elif config == CLASSIFICATION:
        assert (entry["label"], entry["class"]) == (entries[1]["label"], entries[1]["class"])
    else:  # validation predicts ten at a time, which rounds differently
        boxes = [np.array([i["bbox"] for i in e["instances"]]) for e in (entry, entries[1])]
        assert len(boxes[0]) and np.allclose(*boxes, atol=1e-2)
    assert len(list((own / "pictures").glob("*.png"))) == 1
    if config == CLASSIFICATION:  # the same for all, and each start takes seconds
        done = test("tools/predict.py", config, tmp_path / "epoch_1.pth", folder, "--out", own, data=mini_data)
        fails(done, "ConfigError", "holds predictions already")


@pytest.mark.train
def test_a_recipe_without_tta_says_so(tmp_path: Path, mini_data: Path) -> None:
    done = call("tools/test.py", CLASSIFICATION, tmp_path / "none.pth", "--tta", data=mini_data)
    assert done.returncode == 1 and "no tta_model and tta_pipeline" in done.stderr
