"""Hugging Face's files in and out: features of transformers' own code, which stored them (huggingface_models.py)."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from mmengine.registry import MODELS as REGISTRY
from mmengine.registry import DefaultScope
from torch import nn

import mixedae.methods.mae
from mixedae.analysis.exporting import export
from mixedae.errors import ConfigError, WeightsError
from mixedae.models import MixedAEViT
from mixedae.weights import anatomy_of, load_backbone, load_start, load_vit, read_checkpoint, read_weights, to_backbone
from tests.configs.recipe import load
from tests.weights.huggingface_models import MODELS, build, compute, stored
from tests.weights.vits import fb_mae_state, randomise

SMALL = dict(arch=dict(embed_dims=32, num_layers=2, num_heads=4, feedforward_channels=64), img_size=32, patch_size=8)
WITH_FEATURES = [name for name in MODELS if "classifier" not in name]


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def read(path: Path, **options: Any) -> MixedAEViT:
    """The ViT that a file is of, with its weights."""
    weights = read_weights(path)
    backbone, name = to_backbone(weights.tensors)
    vit = MixedAEViT(**{**anatomy_of(backbone, name, weights.facts).options(), "out_type": "raw", **options})
    vit.load_report = load_backbone(vit, path, allow_missing=("ln1.*",))
    vit.eval()
    return vit


@pytest.mark.parametrize("name", WITH_FEATURES)
def test_features_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    example = stored(name)
    path = example.write(tmp_path / name)
    vit = read(path)
    assert "2 heads, as " in str(vit.load_report) and "config.json says" in str(vit.load_report)
    expected = example.values["features"]
    if name == "deit":  # without its distillation token the features are others, and the report says so
        assert "without its distillation token" in vit.load_report.format
        return
    with torch.no_grad():
        found = vit(example.values["pictures"])[0]
        registers = expected.shape[1] - found.shape[1]
        close(found, torch.cat((expected[:, :1], expected[:, 1 + registers :]), 1))
        if not name.startswith("beit"):
            other, report = load_vit(path)
            close(other.forward_features(example.values["pictures"]), expected)
            assert "assumed" not in report


@pytest.mark.parametrize("name", ["vit", "clip"])
def test_a_model_that_differs_in_what_tensors_do_not_say_is_refused(name: str, tmp_path: Path) -> None:
    path = stored(name).write(tmp_path)
    weights = read_weights(path)
    options = anatomy_of(*to_backbone(weights.tensors), weights.facts).options()
    other = MixedAEViT(**{**options, "arch": {**options["arch"], "num_heads": 4}})
    with pytest.raises(WeightsError, match=r"config\.json says heads 2, the model has 4 .*num_heads=2"):
        load_backbone(other, path)
    if name == "clip":
        with pytest.raises(WeightsError, match=r"a norm before its first layer \(CLIP\): model\.backbone\.pre_norm"):
            load_backbone(MixedAEViT(**{**options, "pre_norm": False}), path)
        options.pop("layer_cfgs")
        with pytest.raises(WeightsError, match="activation quick_gelu, the model has gelu"):
            load_backbone(MixedAEViT(**options), path)


def pretraining(name: str, grid: int = 4, patch: int = 4, heads: int = 2, **decoder: int) -> nn.Module:
    cfg = copy.deepcopy(load(f"mini/pretrain/{name}_vit-mini-p8_1xb64-coslr-15e_mini").model)
    width = decoder.pop("width", 16)
    arch = dict(embed_dims=width, num_layers=decoder.pop("layers", 2), num_heads=heads, feedforward_channels=2 * width)
    arch["feedforward_channels"] = decoder.pop("hidden", 2 * width)
    cfg.backbone.update(arch=arch, img_size=grid * patch, patch_size=patch)
    if name == "mixedae":
        cfg.head.update(embed_dims=width)
    sizes = dict(decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=16, mlp_ratio=2, **decoder)
    cfg.neck.update(num_patches=grid * grid, patch_size=patch, embed_dim=width, **sizes)
    cfg.head.pop("patch_size", None)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = REGISTRY.build(cfg)
    model.init_weights()
    model.eval()
    return model


def test_a_whole_vitmae_goes_on_with_the_loss_of_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = stored("vit_mae")
    path = example.write(tmp_path)
    model = pretraining("mae")
    said = load_start(model, read_checkpoint(path), path)
    assert "huggingface (vit.*), encoder and decoder; 2 heads, as " in said
    order = example.values["noise"].argsort(1)
    monkeypatch.setattr(mixedae.methods.mae, "draw_mask", lambda *args, **kwargs: (order[:, :4], order[:, 4:]))
    with torch.no_grad():
        close(model.loss(example.values["pictures"])["loss_recon"], example.values["loss"][0])
    mixed = pretraining("mixedae")
    before = {name: value.clone() for name, value in mixed.state_dict().items()}
    said = load_start(mixed, read_checkpoint(path), path)
    assert "new: segment_embed, head.projector.weight, head.projector.bias" in said
    for name, value in mixed.state_dict().items():
        assert torch.equal(value, before[name] if name in said else model.state_dict()[name]), name
    with pytest.raises(WeightsError, match="heads 2, the model has 4"):
        load_start(pretraining("mae", heads=4), read_checkpoint(path), path)


def whole_official_mae() -> dict[str, torch.Tensor]:
    """Names and shapes of facebookresearch/mae's pre-training model with its decoder."""
    state = {name: value for name, value in fb_mae_state(depth=2).items() if not name.startswith("decoder_blocks")}
    shapes = {"norm1": (16,), "norm2": (16,), "attn.qkv": (48, 16), "attn.proj": (16, 16), "mlp.fc1": (32, 16)}
    for name, shape in {**shapes, "mlp.fc2": (16, 32)}.items():
        state[f"decoder_blocks.0.{name}.weight"] = torch.randn(shape)
        state[f"decoder_blocks.0.{name}.bias"] = torch.randn(shape[0])
    return state | {"decoder_norm.bias": torch.randn(16)}


@pytest.mark.parametrize("name", ["mae", "mixedae"])
def test_official_maes_whole_checkpoint_goes_on(name: str, tmp_path: Path) -> None:
    state = whole_official_mae()
    torch.save({"model": state}, tmp_path / "x.pth")
    model = pretraining(name, patch=8, heads=4, width=32, hidden=128)
    said = load_start(model, read_checkpoint(tmp_path / "x.pth"), tmp_path / "x.pth")
    assert said.startswith("mae-pretrained, encoder and decoder")
    found = model.state_dict()
    assert torch.equal(found["neck.decoder_blocks.0.ffn.layers.0.0.weight"], state["decoder_blocks.0.mlp.fc1.weight"])
    assert torch.equal(found["neck.ln1.bias"], state["decoder_norm.bias"])
    assert torch.equal(found["neck.decoder_pos_embed"], state["decoder_pos_embed"])
    assert torch.equal(found["backbone.layers.1.ln2.weight"], state["blocks.1.norm2.weight"])
    encoder = {name: value for name, value in state.items() if "decoder" not in name and name != "mask_token"}
    torch.save({"model": encoder}, tmp_path / "y.pth")
    with pytest.raises(WeightsError, match=r"has no decoder of MAE.*init_cfg\.checkpoint="):
        load_start(model, read_checkpoint(tmp_path / "y.pth"), tmp_path / "y.pth")


def test_maes_own_checkpoint_starts_mixedae(tmp_path: Path) -> None:
    mae, mixed = pretraining("mae"), pretraining("mixedae")
    said = load_start(mixed, {"state_dict": randomise(mae).state_dict()}, "x.pth")
    assert said == "new: segment_embed, head.projector.weight, head.projector.bias"
    assert torch.equal(mixed.state_dict()["neck.mask_token"], mae.state_dict()["neck.mask_token"])
    with pytest.raises(WeightsError, match="was not trained with this config"):
        load_start(mae, {"state_dict": mixed.state_dict()}, "x.pth")


SAME = {name: name for name in ("vit", "vit_classifier", "vit_mae", "beit", "dinov2", "dinov2_registers", "clip")}


@pytest.mark.parametrize("name", [*SAME, "beit_classifier"])
def test_what_came_in_goes_out_bit_for_bit(name: str, tmp_path: Path) -> None:
    example = stored(name)
    path = example.write(tmp_path / "in")
    said = export(path, tmp_path / "out", "hf-mae" if name == "vit_mae" else "hf")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    found = read_weights(tmp_path / "out" / "model.safetensors").tensors
    left = {n for n in example.tensors if n.endswith("mask_token") and not n.startswith("decoder.")}
    assert example.tensors.keys() - left == found.keys() - left, example.tensors.keys() ^ found.keys()
    assert all(torch.equal(found[n], value) for n, value in example.tensors.items() if n not in left)
    told = {key: value for key, value in config.items() if key in example.config}
    differ = {k: (v, example.config[k]) for k, v in told.items() if v != example.config[k]}
    usual = {
        "torch_dtype",
        "id2label",
        "label2id",
        "layer_scale_init_value",
        "use_mask_token",
        "drop_path_rate",
    }  # initial values only
    assert differ.keys() <= usual, differ
    assert "fingerprint" in said and "LABEL_0" in config.get("id2label", {"0": "LABEL_0"}).values()
    prepared = json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())
    assert prepared["size"] == {"height": 16, "width": 16} and len(prepared["image_mean"]) == 3
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "2 layers, width 16, 2 heads, patches of 4 x 4" in readme and "transformers." in readme


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "LayerScale": {"layer_scale_init_value": 1.0},
    "relative positions": {"relative_position": "table", "layer_scale_init_value": 1.0},
    "registers": {"registers": 3, "layer_scale_init_value": 1.0},
    "CLIP": {"pre_norm": True, "norm_cfg": dict(type="LN", eps=1e-5),
             "layer_cfgs": dict(act_cfg=dict(type="mmpretrain.QuickGELU"))},
}  # fmt: skip


def write_ours(kind: str, path: Path) -> MixedAEViT:
    torch.manual_seed(3)
    vit = randomise(MixedAEViT(**SMALL, out_type="raw", **VARIANTS[kind]))
    torch.save({"state_dict": {f"backbone.{name}": value for name, value in vit.state_dict().items()}}, path)
    return vit


@pytest.mark.parametrize("kind", VARIANTS)
def test_transformers_computes_our_features(kind: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="make test-export has it")
    vit = write_ours(kind, tmp_path / "x.pth")
    export(tmp_path / "x.pth", tmp_path / "out", "hf", heads=4)
    options = {"add_pooling_layer": False} if kind in ("plain", "relative positions") else {}
    model, info = transformers.AutoModel.from_pretrained(tmp_path / "out", output_loading_info=True, **options)
    assert not info["missing_keys"] and not info["mismatched_keys"]
    pictures = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        found = model.eval()(pictures).last_hidden_state
        if kind == "CLIP":
            found = model.vision_model.post_layernorm(found)
        registers = VARIANTS[kind].get("registers", 0)
        found = torch.cat((found[:, :1], found[:, 1 + registers :]), 1)
        close(found, vit(pictures)[0])
    assert (tmp_path / "out" / "README.md").is_file()
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "out")
    assert processor.size == {"height": 32, "width": 32}


@pytest.mark.parametrize("name", MODELS)
def test_the_stored_values_are_those_of_transformers(name: str) -> None:
    pytest.importorskip("transformers", reason="make test-export has it")
    now, then = compute(name), stored(name)
    assert now.tensors.keys() == then.tensors.keys() and build(name)[1]["architectures"] == then.config["architectures"]
    for key, value in then.values.items():
        close(now.values[key], value)


def test_a_classifier_on_averaged_tokens_becomes_beits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vit = randomise(MixedAEViT(**SMALL, out_type="avg_featmap", final_norm=False))
    head = nn.Linear(32, 5)
    state = {f"backbone.{name}": value for name, value in vit.state_dict().items()}
    state |= {f"head.fc.{name}": value for name, value in head.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "x.pth")
    said = export(tmp_path / "x.pth", tmp_path / "out", "hf", heads=4)
    assert "BeitForImageClassification" in said and "the keys' bias, which the softmax does not see" in said
    path = tmp_path / "out" / "model.safetensors"
    again = read(path, out_type="avg_featmap", final_norm=False)
    pictures = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        close(again(pictures)[0], vit(pictures)[0])
    with pytest.raises(WeightsError, match="is there already"):
        export(tmp_path / "x.pth", tmp_path / "out", "hf", heads=4)
    export(tmp_path / "x.pth", tmp_path / "bare", "hf", heads=4, backbone_only=True)
    assert not [n for n in read_weights(tmp_path / "bare" / "model.safetensors").tensors if n.startswith("classifier")]
    try:
        import transformers
    except ImportError:
        return
    model = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        close(model(pictures).logits, head(vit(pictures)[0]))


@pytest.mark.parametrize("kind", [kind for kind in VARIANTS if kind != "relative positions"])
def test_a_timm_folder_loads_by_itself(kind: str, tmp_path: Path) -> None:
    vit = write_ours(kind, tmp_path / "x.pth")
    export(tmp_path / "x.pth", tmp_path / "out", "timm", heads=4)
    model = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    pictures = torch.randn(2, 3, 32, 32)
    registers = VARIANTS[kind].get("registers", 0)
    with torch.no_grad():
        found = model.forward_features(pictures)
        close(torch.cat((found[:, :1], found[:, 1 + registers :]), 1), vit(pictures)[0])
    data = timm.data.resolve_model_data_config(model)
    assert data["input_size"] == (3, 32, 32) and data["interpolation"] == "bicubic"


@pytest.mark.parametrize("to", ["torch-export", "onnx"])
def test_graphs_give_the_features_at_any_batch(to: str, tmp_path: Path) -> None:
    if to == "onnx":
        runtime = pytest.importorskip("onnxruntime", reason="make test-export has it")
        pytest.importorskip("onnxscript", reason="make test-export has it")
    write_ours("LayerScale", tmp_path / "x.pth")
    out = tmp_path / ("x.onnx" if to == "onnx" else "x.pt2")
    said = export(tmp_path / "x.pth", out, to, heads=4)
    assert "pictures (B, 3, 32, 32) -> features (B, 32) and tokens, any B" in said
    pictures = torch.randn(5, 3, 32, 32)
    vit = load_vit(tmp_path / "x.pth", heads=4)[0]
    if to == "onnx":
        outputs = runtime.InferenceSession(str(out)).run(None, {"pictures": pictures.numpy()})
        features, tokens = map(torch.from_numpy, outputs)
    else:
        features, tokens = torch.export.load(out).module()(pictures)
    with torch.no_grad():
        torch.testing.assert_close(features, vit(pictures), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(tokens, vit.forward_features(pictures), rtol=1e-4, atol=1e-4)
    with pytest.raises(ConfigError, match="writes a file that ends in"):
        export(tmp_path / "x.pth", tmp_path / "x.bin", to, heads=4)


def test_what_no_library_has_a_place_for_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for options, to, words in (
        (dict(with_cls_token=False), "hf", "no .CLS. token"),
        (dict(relative_position="table"), "timm", "no place in timm's ViT"),
        (dict(relative_position="decomposed", with_cls_token=False), "hf", "no .CLS. token"),
        ({}, "hf-mae", "no decoder of MAE"),
        ({}, "hf", "number of heads"),
    ):
        vit = MixedAEViT(**SMALL, out_type="raw", **options)
        torch.save({"state_dict": {f"backbone.{n}": v for n, v in vit.state_dict().items()}}, tmp_path / "x.pth")
        heads = None if "heads" in words else 4
        with pytest.raises((WeightsError, ConfigError), match=words):
            export(tmp_path / "x.pth", tmp_path / "out", to, heads=heads)
        assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))
    mixed = pretraining("mixedae")
    torch.save({"state_dict": mixed.state_dict()}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="is of MixedAE, whose decoder"):
        export(tmp_path / "x.pth", tmp_path / "out", "hf-mae", heads=2)
