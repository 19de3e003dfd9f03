"""Conversion parity: the same weights give the same features in mmpretrain, in timm and in official MAE's forward."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mixedae.errors import WeightsError
from mixedae.weights import LoadReport, load_backbone, timm_to_mmpretrain, to_backbone
from tests.weights.vits import fb_forward, fb_mae_state, mm_vit, timm_vit

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def save(path: Path, state: dict[str, Tensor]) -> Path:
    save_file(state, path) if path.suffix == ".safetensors" else torch.save({"model": state}, path)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_timm_features_are_equal(tmp_path: Path, suffix: str) -> None:
    source = timm_vit()
    model = mm_vit(seed=1)
    report = load_backbone(model, save(tmp_path / f"x{suffix}", source.state_dict()))
    with torch.no_grad():
        torch.testing.assert_close(model(IMAGES)[-1], source.forward_features(IMAGES), atol=1e-5, rtol=1e-5)
    assert (report.format, set(report.dropped)) == ("timm", {"head.weight", "head.bias"})
    assert set(report.matched) == set(model.state_dict())


def test_timm_layer_scale_and_averaged_tokens(tmp_path: Path) -> None:
    source = timm_vit(init_values=0.1, global_pool="avg")
    model = mm_vit(seed=1, layer_scale_init_value=0.5, out_type="avg_featmap", final_norm=False)
    report = load_backbone(model, save(tmp_path / "x.pth", source.state_dict()))
    with torch.no_grad():
        expected = source.forward_head(source.forward_features(IMAGES), pre_logits=True)
        torch.testing.assert_close(model(IMAGES)[-1], expected, atol=1e-5, rtol=1e-5)
    assert not report.allowed_missing and not report.unexpected


def test_official_mae_pretrained_features_are_equal(tmp_path: Path) -> None:
    state = fb_mae_state()
    model = mm_vit(seed=1)
    report = load_backbone(model, save(tmp_path / "mae.pth", state))
    with torch.no_grad():
        torch.testing.assert_close(model(IMAGES)[-1], fb_forward(state, IMAGES), atol=1e-5, rtol=1e-5)
    assert report.format == "mae-pretrained"
    assert set(report.dropped) == {name for name in state if name.startswith(("decoder_", "mask_token"))}
    assert len(report.matched) + len(report.dropped) == len(state)


def test_official_mae_finetuned_features_are_equal(tmp_path: Path) -> None:
    state = fb_mae_state(finetuned=True)
    model = mm_vit(seed=1, out_type="avg_featmap", final_norm=False)
    report = load_backbone(model, save(tmp_path / "mae.pth", state))
    with torch.no_grad():
        torch.testing.assert_close(model(IMAGES)[-1], fb_forward(state, IMAGES), atol=1e-5, rtol=1e-5)
    assert report.format == "mae-finetuned" and set(report.dropped) == {"head.weight", "head.bias"}


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("prefix", ["backbone.", "student.backbone."])
def test_mmpretrain_checkpoints(tmp_path: Path, whole: bool, prefix: str) -> None:
    source = mm_vit(out_type="avg_featmap", final_norm=False)
    state = source.state_dict()
    if whole:
        state = {f"{prefix}{name}": value for name, value in state.items()}
        state |= {"head.layers.fc.weight": torch.ones(5, 32), "neck.mask_token": torch.ones(1, 1, 16)}
    model = mm_vit(seed=1, out_type="avg_featmap", final_norm=False)
    torch.save({"state_dict": state}, tmp_path / "x.pth")
    report = load_backbone(model, tmp_path / "x.pth", prefix=prefix)
    with torch.no_grad():
        assert torch.equal(model(IMAGES)[-1], source(IMAGES)[-1])
    assert report.format == ("mmpretrain" if whole else "mmpretrain-backbone")
    assert report.dropped == (("head.layers.fc.weight", "neck.mask_token") if whole else ())
    assert isinstance(report, LoadReport) and report.path in str(report)


def test_every_timm_name_of_a_full_model_is_translated_to_one_of_mmpretrains() -> None:
    source = timm_vit(init_values=0.1)
    converted, _ = to_backbone(source.state_dict())
    target = mm_vit(layer_scale_init_value=0.1).state_dict()
    assert {name: tuple(value.shape) for name, value in converted.items()} == {
        name: tuple(value.shape) for name, value in target.items()
    }
    assert timm_to_mmpretrain("blocks.11.mlp.fc2.bias") == "layers.11.ffn.layers.1.bias"
    assert timm_to_mmpretrain("rope.freqs") == "rope.freqs"


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_other_models_are_refused(prefix: str) -> None:
    resnet = ["conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "fc.weight"]
    swin = ["patch_embed.proj.weight", "layers.0.blocks.0.norm1.weight", "layers.0.blocks.0.attn.qkv.weight"]
    for names in (resnet, swin):
        with pytest.raises(WeightsError, match=f"no ViT known here .found: {prefix}{names[0]}"):
            to_backbone({prefix + name: torch.ones(1) for name in names})
