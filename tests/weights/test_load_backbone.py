"""Loading is strict: every tensor of the model is accounted for, or the model stays as it was."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.model import BaseModule
from torch import Tensor, nn

from mixedae.errors import WeightsError
from mixedae.registry import WEIGHT_INITIALIZERS
from mixedae.weights import PretrainedViT, fingerprint, load_backbone, load_model
from tests.weights.vits import ARCH, fb_mae_state, mm_vit


def save(path: Path, state: dict[str, Tensor], prefix: str = "backbone.") -> Path:
    torch.save({"state_dict": {prefix + name: value for name, value in state.items()}}, path)
    return path


def interpolate(embed: Tensor, grid: tuple[int, int], extra: int = 1) -> Tensor:
    """Position embeddings on another grid, channel by channel."""
    side = int((embed.shape[1] - extra) ** 0.5)
    channels = [
        F.interpolate(
            embed[:, extra:, c].view(1, 1, side, side), size=grid, mode="bicubic", align_corners=False
        ).flatten()
        for c in range(embed.shape[2])
    ]
    return torch.cat((embed[:, :extra], torch.stack(channels, -1)[None]), 1)


@pytest.mark.parametrize("img_size", [32, 64, (32, 72), (24, 16), (16, 64)], ids=str)
def test_position_embeddings_follow_the_image_size(tmp_path: Path, img_size: int | tuple[int, int]) -> None:
    source = mm_vit()
    model = mm_vit(seed=1, img_size=img_size)
    report = load_backbone(model, save(tmp_path / "x.pth", source.state_dict()))
    grid = (img_size, img_size) if isinstance(img_size, int) else img_size
    grid = (grid[0] // 8, grid[1] // 8)
    if grid == (4, 4):
        assert not report.resized and torch.equal(model.pos_embed, source.pos_embed)
        return
    assert report.resized == {"pos_embed": ((1, 17, 32), (1, grid[0] * grid[1] + 1, 32))}
    torch.testing.assert_close(model.pos_embed.data, interpolate(source.pos_embed.data, grid))
    assert report.fingerprint == fingerprint(source, [name for name in source.state_dict() if name != "pos_embed"])
    assert "pos_embed" not in report.matched and f"(1, 17, 32) -> (1, {grid[0] * grid[1] + 1}, 32)" in str(report)


def test_a_model_without_class_token_takes_the_patches_alone(tmp_path: Path) -> None:
    source = mm_vit()
    model = mm_vit(seed=1, with_cls_token=False, img_size=64)
    load_backbone(model, save(tmp_path / "x.pth", source.state_dict()))
    torch.testing.assert_close(model.pos_embed.data, interpolate(source.pos_embed.data, (8, 8))[:, 1:])


def test_a_source_grid_that_is_not_square_is_refused(tmp_path: Path) -> None:
    source = mm_vit(img_size=(32, 40))
    with pytest.raises(WeightsError, match="20 positions, no square grid"):
        load_backbone(mm_vit(), save(tmp_path / "x.pth", source.state_dict()))
    assert load_backbone(mm_vit(seed=1, img_size=(32, 40)), tmp_path / "x.pth").resized == {}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_missing_or_changed_tensor_is_named_and_nothing_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    state = dict(mm_vit().state_dict())
    name = data.draw(st.sampled_from(sorted(state)))
    change = data.draw(st.sampled_from(["drop", "shape", "rename", "nan", "extra"]))
    if change == "drop":
        del state[name]
    elif change == "shape":
        state[name] = torch.cat((state[name], state[name]))
    elif change == "rename":
        state[f"{name}_x"] = state.pop(name)
    elif change == "nan":
        state[name] = state[name].clone()
        state[name].view(-1)[-1] = data.draw(st.sampled_from([float("nan"), float("inf")]))
    else:
        name = f"layers.3.{name}"
        state[name] = torch.ones(2)
    path = save(tmp_path_factory.mktemp("w") / "changed.pth", state)
    model = mm_vit(seed=1)
    before = fingerprint(model)
    with pytest.raises(WeightsError) as error:
        load_backbone(model, path)
    assert name in str(error.value) and "changed.pth" in str(error.value)
    assert fingerprint(model) == before and not hasattr(model, "load_report")


@pytest.mark.parametrize(
    ("arch", "kwargs", "message"),
    [
        ({"num_layers": 2}, {}, "12 unexpected: layers.2.ln1.weight.*7 more.*3 layers, width 32.*model has 2 layers"),
        ({"num_layers": 4}, {}, "12 missing: layers.3.ln1.weight"),
        ({"embed_dims": 64}, {}, r"cls_token \(1, 1, 32\) for \(1, 1, 64\).*width 32.*width 64"),
        ({"feedforward_channels": 64}, {}, "9 of another shape: layers.0.ffn.layers.0.0.weight"),
        ({}, {"patch_size": 4}, "1 of another shape: patch_embed.projection.weight.*patches of 8x8.*patches of 4x4"),
        ({}, {"in_channels": 1}, "is for pictures of 3 channels, the model takes 1"),
    ],
)
def test_other_depth_width_and_patch_size_are_refused(tmp_path: Path, arch: dict, kwargs: dict, message: str) -> None:
    path = save(tmp_path / "x.pth", mm_vit().state_dict())
    with pytest.raises(WeightsError, match=message):
        load_backbone(mm_vit(seed=1, arch={**ARCH, **arch}, **kwargs), path)


def test_the_recipes_allow_list(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pth", mm_vit().state_dict())
    model = mm_vit(seed=1, out_type="avg_featmap", final_norm=False, layer_scale_init_value=0.1)
    report = load_backbone(model, path)
    scales = {f"layers.{i}.{part}.weight" for i in range(3) for part in ("attn.gamma1", "ffn.gamma2")}
    assert set(report.allowed_missing) == {"ln2.weight", "ln2.bias"} | scales
    assert report.unexpected == ("ln1.weight", "ln1.bias")
    assert set(report.matched) | set(report.allowed_missing) == set(model.state_dict())


def test_relative_positions_and_layer_scale_of_the_published_ade20k_recipe_may_be_new(tmp_path: Path) -> None:
    model = mm_vit(seed=1)
    new = set()
    for i, layer in enumerate(model.layers):
        layer.gamma_1, layer.gamma_2 = nn.Parameter(torch.ones(32)), nn.Parameter(torch.ones(32))
        layer.attn.relative_position_bias_table = nn.Parameter(torch.zeros(49, 4))
        new |= {f"layers.{i}.{name}" for name in ("gamma_1", "gamma_2", "attn.relative_position_bias_table")}
    report = load_backbone(model, save(tmp_path / "x.pth", mm_vit().state_dict()))
    assert set(report.allowed_missing) == new
    model.layers[0].gamma_3 = nn.Parameter(torch.ones(32))
    with pytest.raises(WeightsError, match=r"1 missing: layers\.0\.gamma_3"):
        load_backbone(model, tmp_path / "x.pth")


def test_block_norms_and_strangers_are_not_on_the_allow_list(tmp_path: Path) -> None:
    state = dict(mm_vit().state_dict())
    del state["layers.1.ln2.weight"]
    path = save(tmp_path / "x.pth", state)
    with pytest.raises(WeightsError, match=r"1 missing: layers\.1\.ln2\.weight"):
        load_backbone(mm_vit(seed=1), path)
    report = load_backbone(mm_vit(seed=1), path, allow_missing=("layers.?.ln2.*",))
    assert report.allowed_missing == ("layers.1.ln2.weight",)


def test_fingerprints(tmp_path: Path) -> None:
    source = mm_vit()
    state = source.state_dict()
    model = mm_vit(seed=1)
    report = load_backbone(model, save(tmp_path / "x.pth", state))
    assert report.fingerprint == fingerprint(source) == fingerprint(model) == fingerprint(dict(reversed(state.items())))
    assert fingerprint(state, ["ln1.bias"]) != fingerprint(state, ["ln1.weight"])
    renamed = {("ln1.bias" if n == "cls_token" else "cls_token" if n == "ln1.bias" else n): v for n, v in state.items()}
    assert fingerprint(renamed) != report.fingerprint
    state["ln1.bias"].view(-1)[3] += 1e-6
    assert fingerprint(state) != report.fingerprint
    for dtype in (torch.bfloat16, torch.float16, torch.bool, torch.int64):
        assert len(fingerprint({"x": torch.ones(3).to(dtype), "y": torch.tensor(1).to(dtype)})) == 64


def test_half_precision_files_are_cast_to_the_model(tmp_path: Path) -> None:
    model = mm_vit(seed=1)
    state = {name: value.half() for name, value in mm_vit().state_dict().items()}
    report = load_backbone(model, save(tmp_path / "x.pth", state))
    assert model.pos_embed.dtype == torch.float32 and fingerprint(model) == report.fingerprint


def test_the_backbone_inside_a_model_is_found(tmp_path: Path) -> None:
    model = nn.Module()
    model.backbone = mm_vit(seed=1)
    source = mm_vit()
    load_backbone(model, save(tmp_path / "x.pth", source.state_dict()))
    assert fingerprint(model.backbone) == fingerprint(source)


def test_summary_is_json_and_small(tmp_path: Path) -> None:
    torch.save(fb_mae_state(), tmp_path / "mae.pth")
    report = load_backbone(mm_vit(seed=1, img_size=64, out_type="avg_featmap", final_norm=False), tmp_path / "mae.pth")
    summary = json.loads(json.dumps(report.summary()))
    assert summary["matched"] == len(report.matched) == 39
    assert summary["resized"] == {"pos_embed": [[1, 17, 32], [1, 65, 32]]}
    assert summary["dropped"]["mask_token"] == 1 and summary["unexpected"] == ["ln1.weight", "ln1.bias"]


def test_initialiser_loads_and_keeps_the_report(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pth", mm_vit().state_dict())
    model = mm_vit(seed=1)
    WEIGHT_INITIALIZERS.build({"type": "mixedae.PretrainedViT", "checkpoint": str(path)})(model)
    assert fingerprint(model) == fingerprint(mm_vit()) == model.load_report.fingerprint


def test_initialiser_inside_mmengines_own_initialisation(tmp_path: Path) -> None:
    """Under mmengine's bookkeeping of what initialised which parameter."""
    path = save(tmp_path / "x.pth", mm_vit().state_dict())

    class Wrapper(BaseModule):
        def __init__(self) -> None:
            super().__init__()
            self.vit = mm_vit(seed=1)

        def init_weights(self) -> None:
            super().init_weights()
            PretrainedViT(str(path))(self.vit)

    model = Wrapper()
    model.init_weights()
    assert fingerprint(model.vit) == fingerprint(mm_vit())


@pytest.mark.parametrize("checkpoint", [None, ""])
def test_no_checkpoint_is_an_error_that_tells_the_option(checkpoint: str | None) -> None:
    with pytest.raises(WeightsError, match=r"--cfg-options model\.backbone\.init_cfg\.checkpoint=FILE.*=random"):
        PretrainedViT(checkpoint)(mm_vit())


def test_random_is_explicit() -> None:
    model = mm_vit()
    before = fingerprint(model)
    PretrainedViT("random")(model)
    assert fingerprint(model) == before and not hasattr(model, "load_report")


def test_whole_models_load_exactly(tmp_path: Path) -> None:
    source, model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    torch.save({"state_dict": source.state_dict()}, tmp_path / "x.pth")
    load_model(model, tmp_path / "x.pth")
    assert fingerprint(model) == fingerprint(source)
    for other, message in (
        (nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4)), r"of another shape: 0.weight \(3, 2\) for \(4, 2\)"),
        (nn.Sequential(nn.Linear(2, 3)), "5 unexpected: 1.weight"),
        (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)), "2 missing: 2.weight, 2.bias"),
    ):
        with pytest.raises(WeightsError, match=message):
            load_model(other, tmp_path / "x.pth")


@pytest.mark.parametrize("has", [1, 4])
def test_other_channels_are_refused_or_averaged(has: int, tmp_path: Path) -> None:
    """A picture that is grey gives the same tokens through any number of equal channels."""
    source, model = mm_vit(), mm_vit(seed=1, in_channels=has)
    path = save(tmp_path / "x.pth", source.state_dict())
    with pytest.raises(WeightsError, match=f"is for pictures of 3 channels, the model takes {has}"):
        load_backbone(model, path)
    report = load_backbone(model, path, channels="average")
    assert report.resized == {"patch_embed.projection.weight": ((32, 3, 8, 8), (32, has, 8, 8))}
    grey = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        expected = source(grey.expand(-1, 3, -1, -1))[0]
        torch.testing.assert_close(model(grey.expand(-1, has, -1, -1))[0], expected, rtol=1e-4, atol=1e-4)
