"""load_vit: timm's ViT with any checkpoint's weights, features equal, and no OpenMMLab in the process."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mixedae.errors import ConfigError, WeightsError
from mixedae.files import ROOT
from mixedae.weights import load_vit
from tests.weights.test_layouts import beit, ours, split, write
from tests.weights.vits import fb_forward, fb_mae_state, timm_vit

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layout", ["timm", "hugging face", "LayerScale", "no [CLS]"])
def test_features_are_the_models(layout: str, tmp_path: Path) -> None:
    options = {
        "LayerScale": {"init_values": 0.1},
        "no [CLS]": {"class_token": False, "global_pool": "avg", "fc_norm": False},
    }
    model = timm_vit(**options.get(layout, {}))
    state = model.state_dict()
    path = write(tmp_path / "x.pth", {"model": split(state, "vit.") if layout == "hugging face" else state})
    vit, report = load_vit(path, heads=4)
    with torch.no_grad():
        torch.testing.assert_close(vit.forward_features(IMAGES), model.forward_features(IMAGES), rtol=1e-5, atol=1e-5)
        pooled = model.forward_head(model.forward_features(IMAGES), pre_logits=True)
        torch.testing.assert_close(vit(IMAGES), pooled, rtol=1e-5, atol=1e-5)
        assert vit(torch.randn(1, 3, 48, 64)).shape == (1, 32)
    assert str(path) in report and "fingerprint" in report and "assumed" not in report


def test_own_models_and_official_mae(tmp_path: Path) -> None:
    model = ours()
    vit, _ = load_vit(write(tmp_path / "x.pth", {f"backbone.{k}": v for k, v in model.state_dict().items()}), heads=4)
    with torch.no_grad():
        torch.testing.assert_close(vit.forward_features(IMAGES), model(IMAGES)[0], rtol=1e-5, atol=1e-5)
    for finetuned in (False, True):
        state = fb_mae_state(finetuned=finetuned)
        vit, _ = load_vit(write(tmp_path / "y.pth", {"model": state}), heads=4)
        with torch.no_grad():
            found = vit(IMAGES) if finetuned else vit.forward_features(IMAGES)
            torch.testing.assert_close(found, fb_forward(state, IMAGES), rtol=1e-4, atol=1e-4)


def test_what_cannot_be_known_or_built_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "x.pth", timm_vit().state_dict())
    with pytest.raises(ConfigError, match="32 wide; its number of heads is not known"):
        load_vit(path)
    with pytest.raises(ConfigError, match="which divides the width"):
        load_vit(path, heads=5)
    with pytest.raises(WeightsError, match="no place in timm's ViT"):
        load_vit(write(tmp_path / "y.pth", beit()[0]), heads=4)
    usual = timm_vit(embed_dim=192, num_heads=3)
    assert "3 heads assumed by the width" in load_vit(write(tmp_path / "z.pth", usual.state_dict()))[1]


def test_no_openmmlab_is_imported(tmp_path: Path) -> None:
    path = write(tmp_path / "x.pth", {"state_dict": timm_vit().state_dict()})
    code = (
        f"import sys, mixedae.weights; vit, report = mixedae.weights.load_vit({str(path)!r}, heads=4); "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'mmengine', 'mmcv', 'mmpretrain', 'mmseg'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_snippets_of_the_documentation_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "checkpoints.md").read_text(), re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "dino_vitbase16_pretrain.pth", timm_vit(embed_dim=192, num_heads=3).state_dict())
    names: dict = {"pictures": IMAGES}
    for block in blocks:
        exec(block, names)
    assert names["features"].shape == (2, 192)
