"""Round trips between the formats, and the models that they are for, on the same pictures."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mixedae.analysis.exporting import export
from mixedae.errors import WeightsError
from mixedae.files import ROOT
from mixedae.models import MixedAEViT
from mixedae.weights import convert, fingerprint, load_backbone, read_state_dict, write_state_dict
from tests.forked import run_forked
from tests.weights.vits import fb_forward, fb_mae_state, mm_vit, randomise, timm_vit

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
ARCH = {"embed_dims": 32, "num_layers": 3, "num_heads": 4, "feedforward_channels": 128}


def transfer_vit(**options: object) -> MixedAEViT:
    base = {"arch": ARCH, "img_size": 32, "patch_size": 8, "out_type": "raw"}
    return randomise(MixedAEViT(**{**base, **options}))


def sources() -> dict[str, dict[str, Tensor]]:
    whole = {f"backbone.{name}": value for name, value in mm_vit().state_dict().items()}
    return {
        "mmpretrain": whole | {"neck.mask_token": torch.ones(1, 1, 16), "head.projector.weight": torch.ones(4, 32)},
        "mmpretrain-backbone": mm_vit(seed=2).state_dict(),
        "mae-pretrained": fb_mae_state(seed=3),
        "mae-finetuned": fb_mae_state(seed=4, finetuned=True),
        "timm": timm_vit(seed=5).state_dict(),
    }


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("target", ["mmpretrain", "mmpretrain-backbone", "timm"])
@pytest.mark.parametrize("name", list(sources()))
def test_round_trips_keep_every_bit(name: str, target: str, suffix: str, tmp_path: Path) -> None:
    """Any format to any other and back to mmpretrain's: the fingerprint stays; every key is taken or named."""
    state = sources()[name]
    first = convert(state, target)
    assert first.format == name
    assert set(first.names) | set(first.dropped) == set(state) and not set(first.names) & set(first.dropped)
    assert all(torch.equal(first.tensors[new], state[old]) for old, new in first.names.items())
    write_state_dict(tmp_path / f"x{suffix}", first.tensors)
    again = convert(read_state_dict(tmp_path / f"x{suffix}"), "mmpretrain-backbone")
    assert again.fingerprint == first.fingerprint == fingerprint(again.tensors)
    assert not list(tmp_path.glob(".*tmp"))


def test_timm_takes_an_export_strictly_and_gives_the_same_features(tmp_path: Path) -> None:
    source = transfer_vit(layer_scale_init_value=0.5)
    write_state_dict(tmp_path / "x.safetensors", convert(source.state_dict(), "timm").tensors)
    model = timm_vit(init_values=0.1, num_classes=0)
    model.load_state_dict(read_state_dict(tmp_path / "x.safetensors"), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(model.forward_features(IMAGES), source(IMAGES)[-1], atol=1e-5, rtol=1e-5)


def test_a_fine_tuned_classifier_keeps_its_head() -> None:
    state = fb_mae_state(finetuned=True)
    ours = convert(state, "mmpretrain")
    assert torch.equal(ours.tensors["head.fc.weight"], state["head.weight"]) and not ours.dropped
    back = convert(ours.tensors, "timm").tensors
    assert back.keys() == state.keys() and all(torch.equal(back[name], state[name]) for name in state)
    other = {name.replace("head.fc", "head.layers.head"): value for name, value in ours.tensors.items()}
    assert "head.weight" in convert(other, "timm").tensors


def cubic(x: np.ndarray, a: float = -0.75) -> np.ndarray:
    """Keys' cubic kernel, a of PyTorch's bicubic."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def weights_of(old: int, new: int) -> np.ndarray:
    """(new, old): how much each old place counts for each new one; centres aligned, borders repeated."""
    matrix = np.zeros((new, old))
    for i in range(new):
        centre = (i + 0.5) * old / new - 0.5
        for j in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            matrix[i, min(max(j, 0), old - 1)] += cubic(np.array(centre - j))
    return matrix


def interpolated(embed: Tensor, grid: tuple[int, int]) -> Tensor:
    """Position embeddings of a square grid, [CLS]'s first, on another grid."""
    side = int((embed.shape[1] - 1) ** 0.5)
    places = embed[0, 1:].double().numpy().reshape(side, side, -1)
    rows, columns = weights_of(side, grid[0]), weights_of(side, grid[1])
    resized = np.einsum("ij,kl,jlc->ikc", rows, columns, places).reshape(1, grid[0] * grid[1], -1)
    return torch.cat((embed[:, :1], torch.from_numpy(resized).float()), 1)


@pytest.mark.parametrize("name", ["mae-pretrained", "timm", "mmpretrain"])
@pytest.mark.parametrize("size", [(32, 32), (48, 24), (16, 72)])
def test_features_at_any_size_with_positions_interpolated_by_hand(
    name: str, size: tuple[int, int], tmp_path: Path
) -> None:
    """Our backbone, loaded from a file, against official MAE's forward on positions resized in numpy."""
    state = sources()[name]
    write_state_dict(tmp_path / "x.safetensors", state)
    model = transfer_vit()
    load_backbone(model, tmp_path / "x.safetensors")
    official = dict(convert(state, "timm").tensors)
    official["pos_embed"] = interpolated(official["pos_embed"], (size[0] // 8, size[1] // 8))
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(model(images)[-1], fb_forward(official, images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [(224, 224), (160, 288), (336, 64)])
def test_three_libraries_give_the_same_features(size: tuple[int, int]) -> None:
    """Ours, trained at 224 with patches of 16, against mmpretrain's and timm's ViT with positions resized in numpy."""
    options = {"img_size": size, "patch_size": 16}
    ours = transfer_vit(img_size=224, patch_size=16)
    state = dict(ours.state_dict())
    state["pos_embed"] = interpolated(state["pos_embed"], (size[0] // 16, size[1] // 16))
    assert size != (224, 224) or torch.allclose(state["pos_embed"], ours.pos_embed, atol=1e-7)
    upstream, other = mm_vit(seed=1, **options), timm_vit(seed=2, num_classes=0, **options)
    upstream.load_state_dict(state, strict=True)
    other.load_state_dict(convert(state, "timm").tensors, strict=True)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        features = ours(images)[-1]
        torch.testing.assert_close(features, upstream(images)[-1], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(features, other.forward_features(images), atol=1e-5, rtol=1e-5)


def test_what_timm_has_no_place_for_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"3 tensors have no place in timm's ViT .layers\.0\.attn\.relative"):
        convert(transfer_vit(relative_position="table").state_dict(), "timm")
    with pytest.raises(WeightsError, match="expected one of mmpretrain"):
        convert(mm_vit().state_dict(), "keras")
    with pytest.raises(WeightsError, match=r"expected \.pth or \.safetensors"):
        write_state_dict("x.bin", {})


@pytest.mark.train
def test_the_command(tmp_path: Path) -> None:
    tool = "tools/checkpoint.py"
    torch.save({"model": fb_mae_state()}, tmp_path / "mae.pth")
    inspect = [sys.executable, tool, "inspect", str(tmp_path / "mae.pth")]
    done = subprocess.run(inspect, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "mae-pretrained; ViT of 3 layers, width 32, patches of 8x8" in done.stdout
    mark = done.stdout.split("fingerprint ")[-1].strip()
    done = run_forked(tool, "export", tmp_path / "mae.pth", tmp_path / "out.safetensors", "--to", "timm")
    assert done.returncode == 0 and mark in done.stdout and "left out: mask_token (1)" in done.stdout, done.stdout
    (tmp_path / "mae.pth").write_bytes((tmp_path / "mae.pth").read_bytes()[:-500])
    done = run_forked(tool, "convert", tmp_path / "mae.pth", tmp_path / "no.pth")
    assert done.returncode == 1 and done.stderr.startswith("error: WeightsError: ") and "truncated" in done.stderr
    assert not (tmp_path / "no.pth").exists()


@pytest.mark.parametrize("to", ["timm", "timm folder", "mmpretrain", "hf", "torch-export"])
@pytest.mark.parametrize("harm", ["missing", "of another shape", "not finite", "unknown"])
def test_what_is_not_a_whole_vit_is_not_exported(harm: str, to: str, tmp_path: Path) -> None:
    state = dict(timm_vit(num_classes=0).state_dict())
    name = "blocks.1.attn.qkv.weight"
    if harm == "missing":
        del state[name]
    elif harm == "of another shape":
        state[name] = state[name][:50]
    elif harm == "not finite":
        state[name] = state[name] * float("nan")
    else:
        state["foo.bar"] = torch.ones(2)
    torch.save(state, tmp_path / "x.pth")
    out = tmp_path / {"timm": "out.pth", "mmpretrain": "out.pth", "torch-export": "out.pt2"}.get(to, "out")
    with pytest.raises(WeightsError, match=rf"is not a whole ViT\. .*{harm}|foo\.bar|no place"):
        export(tmp_path / "x.pth", out, to.split()[0], heads=4)
    assert not out.exists()
