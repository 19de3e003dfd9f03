"""What must not move without anybody noticing: losses of a fixed start, and files of earlier releases."""

import csv
import os
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope

from mixedae.engine.resuming import check_resumable
from mixedae.registry import MODELS
from mixedae.weights import load_whole, read_checkpoint
from tests.golden.losses import FILE, losses

LEGACY = Path(__file__).with_name("files")


@pytest.mark.parametrize("kind", ["MAE", "MixedAE"])
def test_r32_losses_are_the_stored_ones(kind: str) -> None:
    """Equal on the same torch and instructions, within 1e-3 elsewhere. A new file needs a reason in the changelog."""
    with FILE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    made_with = list(rows[0])[2]
    stored = [float(row[kind]) for row in rows]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = losses(kind)
    finally:
        torch.set_num_threads(threads)
    same = made_with == f"{torch.__version__} {torch.backends.cpu.get_cpu_capability()}"
    assert len(stored) == 20 and stored[-1] < stored[0]
    assert found == pytest.approx(stored, rel=1e-6 if same else 1e-3)


@pytest.mark.parametrize("path", sorted(LEGACY.glob("*.pth")), ids=lambda path: path.stem)
def test_r37_checkpoints_of_earlier_releases_load(path: Path) -> None:
    """The training's file whole, and its encoder as a backbone."""
    from mixedae.weights import load_backbone
    from tests.golden.legacy import ENCODER, model

    checkpoint = read_checkpoint(path)
    check_resumable(checkpoint, path)
    load_whole(model(), checkpoint["state_dict"], path)
    init_default_scope("mmpretrain")
    backbone = MODELS.build(ENCODER)
    report = load_backbone(backbone, path)
    assert len(report.matched) > 20 and not report.allowed_missing
    pictures = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
    with torch.no_grad():
        features = backbone.eval()(pictures)[0].flatten()
    assert torch.allclose(features, checkpoint["features"], atol=1e-5)


@pytest.mark.slow
def test_r33_released_weights_have_their_published_accuracy(tmp_path: Path) -> None:
    """Official MAE's fine-tuned ViT-B: 83.664 top-1 (its FINETUNE.md), on the user's ImageNet."""
    import json

    from mixedae.files import ROOT
    from tests.forked import run_forked

    data, weights = os.environ.get("MIXEDAE_DATA_IMAGENET"), os.environ.get("MIXEDAE_MAE_FINETUNED")
    if not data or not weights or not torch.cuda.is_available():
        pytest.skip(
            "needs a GPU, ImageNet (MIXEDAE_DATA_IMAGENET) and mae_finetuned_vit_base.pth of facebookresearch/mae as a "
            "classifier's checkpoint (MIXEDAE_MAE_FINETUNED)"
        )
    config = "mm_configs/classification/mixedae-vit-base-p16_8xb128-amp-coslr-100e_in1k.py"
    done = run_forked(ROOT / "tools/test.py", config, weights, "--work-dir", tmp_path, "--out", tmp_path / "m.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "m.json").read_text())["accuracy/top1"] == pytest.approx(83.66, abs=0.1)
