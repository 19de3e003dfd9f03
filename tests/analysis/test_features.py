"""Features of a folder: what the plain ViT gives for each picture, in the folder's order, in either kind of file."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from mixedae.analysis.features import write_features
from mixedae.errors import ConfigError, WeightsError
from mixedae.models import MixedAEViT

ARCH = dict(embed_dims=192, num_layers=2, num_heads=3, feedforward_channels=64)


@pytest.fixture
def vit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MixedAEViT:
    monkeypatch.chdir(tmp_path)  # the cache is relative
    torch.manual_seed(0)
    vit = MixedAEViT(arch=ARCH, img_size=32, patch_size=8, out_type="raw").eval()
    for parameter in vit.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    torch.save(vit.state_dict(), tmp_path / "vit.pth")
    for name in ("b.png", "deep/a.jpg", "a.gif"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(len(name)).integers(0, 256, (37, 37, 3), np.uint8)).save(path)
    return vit


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("pool", ["mean", "cls", "tokens"])
def test_features_are_the_vits(vit: MixedAEViT, tmp_path: Path, pool: str, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    done = write_features("vit.pth", tmp_path / "pictures", out, pool, batch_size=2)
    assert done.images == ("a.gif", "b.png", "deep/a.jpg")
    for name, found in zip(done.images, done.features, strict=True):
        image = Image.open(tmp_path / "pictures" / name).convert("RGB").resize((37, 37), Image.Resampling.BICUBIC)
        left = (37 - 32) // 2
        pixels = np.asarray(image, np.float32)[left : left + 32, left : left + 32]
        x = (pixels - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
        with torch.no_grad():
            tokens = vit(torch.from_numpy(x).float().permute(2, 0, 1)[None])[-1][0]
        expected = {"mean": tokens[1:].mean(0), "cls": tokens[0], "tokens": tokens[1:]}[pool]
        assert torch.allclose(found, expected, atol=1e-4)
    if suffix == ".npz":
        file = np.load(out)
        features, images, header = file["features"], tuple(file["images"]), str(file["header"])
    else:
        with safe_open(out, framework="np") as file:
            features, metadata = file.get_tensor("features"), file.metadata()
        images, header = tuple(json.loads(metadata["images"])), metadata["header"]
    assert np.array_equal(features, done.features.numpy()) and images == done.images
    assert json.loads(header)["pool"] == pool


def test_the_cache_knows_weights_pictures_and_size(vit: MixedAEViT, tmp_path: Path) -> None:
    def seconds(**changes: int) -> float:
        return write_features("vit.pth", tmp_path / "pictures", tmp_path / "out.npz", **changes).seconds

    assert seconds() > 0 and seconds() == 0
    assert seconds(size=48) > 0
    (tmp_path / "pictures" / "b.png").write_bytes((tmp_path / "pictures" / "deep" / "a.jpg").read_bytes())
    assert seconds() > 0
    torch.save({name: value + 1 for name, value in vit.state_dict().items()}, tmp_path / "vit.pth")
    assert seconds() > 0


def test_bad_input(vit: MixedAEViT, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected \.npz or \.safetensors"):
        write_features("vit.pth", tmp_path / "pictures", tmp_path / "out.csv")
    torch.save({"x": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError):
        write_features("other.pth", tmp_path / "pictures", tmp_path / "out.npz")
    with pytest.raises(WeightsError, match="does not exist"):
        write_features("absent.pth", tmp_path / "pictures", tmp_path / "out.npz")
    with pytest.raises(ConfigError, match="patches of 8 do not divide it"):
        write_features("vit.pth", tmp_path / "pictures", tmp_path / "out.npz", size=30)
    assert not (tmp_path / "out.npz").exists()


def test_a_script_beside_a_download_is_not_run(vit: MixedAEViT, tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("raise SystemExit('this was run')")
    assert write_features("vit.pth", tmp_path / "pictures", tmp_path / "out.npz").features.shape == (3, 192)
