"""Each true layout loads with the features of its own code, or is refused with what to do; one format claims a file."""

import argparse
import json
import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import LayerNorm
from torch import Tensor, nn

from mixedae.errors import ConfigError, WeightsError
from mixedae.models import MixedAEViT
from mixedae.weights import convert, load_backbone, load_vit, read_state_dict, to_backbone
from mixedae.weights.formats import FORMATS, PREFIXES
from tests.weights import layouts
from tests.weights.huggingface_models import stored
from tests.weights.vits import ARCH, randomise, timm_vit

State = dict[str, Tensor]
SHAPE = dict(depth=3, embed_dim=32, num_heads=4, img_size=32, patch_size=8, num_classes=5)


def ours(**options: object) -> MixedAEViT:
    torch.manual_seed(5)
    return randomise(MixedAEViT(arch=ARCH, img_size=32, patch_size=8, out_type="raw", **options))


def beit(shared: bool = False) -> tuple[State, nn.Module]:
    """timm's BEiT; shared: with one table for all blocks, as pre-training has it."""
    torch.manual_seed(0)
    model = randomise(
        timm.create_model("beit_base_patch16_224", pretrained=False, init_values=0.1, global_pool="token", **SHAPE)
    )
    state = {name: value for name, value in model.state_dict().items() if not name.endswith("k_bias")}
    if shared:
        table = state["blocks.0.attn.relative_position_bias_table"]
        for i in range(3):
            model.blocks[i].attn.relative_position_bias_table.data.copy_(table)
            state.pop(f"blocks.{i}.attn.relative_position_bias_table")
        state["rel_pos_bias.relative_position_bias_table"] = table
        state |= {"mask_token": torch.ones(1, 1, 32), "lm_head.weight": torch.ones(8, 32)}
    for block in model.blocks:
        block.attn.k_bias.zero_()
    return state, model


def split(state: State, prefix: str) -> State:
    """timm's names to Hugging Face's ViT, with query, key and value apart."""
    names = {
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj.": "embeddings.patch_embeddings.projection.",
        "norm.": "layernorm.",
        "head.": "classifier.",
    }
    parts = {
        "norm1.": "layernorm_before.",
        "norm2.": "layernorm_after.",
        "attn.proj.": "attention.output.dense.",
        "mlp.fc1.": "intermediate.dense.",
        "mlp.fc2.": "output.dense.",
    }
    found: State = {}
    for name, value in state.items():
        block = re.fullmatch(r"blocks\.(\d+)\.(.+)\.(weight|bias)", name)
        if block and block[2] == "attn.qkv":
            for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                found[f"{prefix}encoder.layer.{block[1]}.attention.attention.{part}.{block[3]}"] = third
        elif block:
            found[f"{prefix}encoder.layer.{block[1]}.{parts[block[2] + '.']}{block[3]}"] = value
        else:
            new = next(theirs + name.removeprefix(mine) for mine, theirs in names.items() if name.startswith(mine))
            found[new if new.startswith("classifier") else prefix + new] = value
    return found


def compare(path: Path, model: nn.Module, name: str, part: str = "", **options: object) -> None:
    vit = ours(**options)
    report = load_backbone(vit, path, part=part)
    assert report.format.startswith(name), report.format
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(vit(images)[0], model.forward_features(images), rtol=1e-5, atol=1e-5)


def write(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("kwargs", "options"),
    [
        ({}, {}),
        ({"no_embed_class": True}, {}),
        ({"qkv_bias": False}, {}),
        ({"init_values": 0.1}, {"layer_scale_init_value": 0.1}),
        ({"class_token": False, "global_pool": "avg", "fc_norm": False}, {"with_cls_token": False}),
    ],
    ids=["plain", "no_embed_class", "no qkv bias", "LayerScale", "no [CLS]"],
)
def test_timm_and_its_variants(kwargs: dict, options: dict, tmp_path: Path) -> None:
    model = timm_vit(**kwargs)
    state = {**model.state_dict(), "pre_logits.fc.weight": torch.ones(2, 2)}
    compare(write(tmp_path / "x.pth", state), model, "timm", **options)
    compiled = {f"_orig_mod.{name}": value for name, value in state.items()}
    compare(write(tmp_path / "y.pth", {"model": compiled, "epoch": 3}), model, "timm", **options)


def test_deit_3_and_distilled(tmp_path: Path) -> None:
    model = timm_vit(init_values=0.1, no_embed_class=True)
    state = {re.sub(r"ls([12])\.gamma", r"gamma_\1", name): value for name, value in model.state_dict().items()}
    path = write(tmp_path / "x.pth", {"model": state})
    compare(path, model, "deit-3", layer_scale_init_value=0.1)
    with pytest.raises(WeightsError, match=r"the file has LayerScale: model\.backbone\.layer_scale_init_value=1"):
        load_backbone(ours(), path)
    plain = timm_vit()
    state = dict(plain.state_dict())
    embed = state["pos_embed"]
    state["pos_embed"] = torch.cat((embed[:, :1], torch.full((1, 1, 32), 7.0), embed[:, 1:]), 1)
    state |= {"dist_token": torch.ones(1, 1, 32), "head_dist.weight": torch.ones(5, 32)}
    compare(write(tmp_path / "y.pth", {"model": state}), plain, "deit-distilled, without its distillation token")


def test_self_distillation_gives_the_teacher_or_what_is_asked_for(tmp_path: Path) -> None:
    student, teacher = timm_vit(1, num_classes=0), timm_vit(2, num_classes=0)
    content = {
        "student": {f"module.backbone.{name}": value for name, value in student.state_dict().items()}
        | {"module.head.mlp.0.weight": torch.ones(2, 32), "module.backbone.masked_embed": torch.ones(1, 32)},
        "teacher": {f"backbone.{name}": value for name, value in teacher.state_dict().items()}
        | {"head.mlp.0.weight": torch.ones(2, 32)},
        "epoch": 7,
        "args": argparse.Namespace(arch="vit_small"),
    }
    path = write(tmp_path / "x.pth", content)
    compare(path, teacher, "timm [teacher is read, student not]")
    compare(path, student, "timm [student is read, teacher not]", part="student")
    report = load_backbone(ours(), path)
    assert report.dropped == ("head.mlp.0.weight",)
    with pytest.raises(WeightsError, match="no part 'ema'; it has teacher, student"):
        load_backbone(ours(), path, part="ema")


@pytest.mark.parametrize("key", ["model_ema", "state_dict_ema", "ema_state_dict"])
def test_averaged_weights_are_named_and_taken_on_request(key: str, tmp_path: Path) -> None:
    last, averaged = timm_vit(1), timm_vit(2)
    path = write(tmp_path / "x.pth", {"model": last.state_dict(), key: averaged.state_dict()})
    compare(path, last, f"timm [model is read, {key} not]")
    compare(path, averaged, f"timm [{key} is read, model not]", part="ema")


@pytest.mark.parametrize("start", ["module.base_encoder.", "base_encoder.", "backbone.net.", "backbone.", "encoder."])
def test_prefixes_are_found_and_named(start: str, tmp_path: Path) -> None:
    model = timm_vit()
    state = {start + name: value for name, value in model.state_dict().items()}
    beside = start.replace("base_encoder", "momentum_encoder").replace("net", "simfp_2").replace("backbone.", "other.")
    if beside != start:
        state |= {beside + name: value + 1 for name, value in model.state_dict().items()}
    path = write(tmp_path / "x.pth", {"state_dict": state})
    compare(path, model, "timm" if start == "backbone." else f"timm ({start.removeprefix('module.')}*)")


@pytest.mark.parametrize("shared", [False, True], ids=["fine-tuned", "pre-trained"])
def test_beit(shared: bool, tmp_path: Path) -> None:
    state, model = beit(shared)
    path = write(tmp_path / "x.pth", {"model": state})
    options = dict(relative_position="table", layer_scale_init_value=0.1)
    vit = ours(**options)
    report = load_backbone(vit, path)
    assert report.format == "beit" + ", shared relative positions copied to each layer" * shared
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        tokens = model.patch_embed(images)
        tokens = torch.cat((model.cls_token.expand(2, -1, -1), tokens), 1)
        for block in model.blocks:
            tokens = block(tokens, shared_rel_pos_bias=None)
        expected = model.norm(tokens)
        torch.testing.assert_close(vit(images)[0], expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(WeightsError, match=r"relative positions: model\.backbone\.relative_position=table"):
        load_backbone(ours(layer_scale_init_value=0.1), path)


@pytest.mark.parametrize("with_cls", [True, False])
def test_beits_tables_on_another_grid_are_those_of_the_forward_pass(with_cls: bool, tmp_path: Path) -> None:
    state, _ = beit()
    path = write(tmp_path / "x.pth", {"model": state})
    options = dict(relative_position="table", layer_scale_init_value=0.1, with_cls_token=with_cls)
    own, other = (
        ours(**options),
        randomise(MixedAEViT(arch=ARCH, img_size=(48, 40), patch_size=8, out_type="raw", **options)),
    )
    load_backbone(own, path)
    report = load_backbone(other, path)
    assert "layers.0.attn.relative_position_bias_table" in report.resized
    assert "relative_position_bias_table, ... (2 more) (52, 4) -> (" in str(report)
    images = torch.randn(2, 3, 48, 40)
    with torch.no_grad():
        torch.testing.assert_close(other(images)[0], own(images)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "vit."])
def test_hugging_face_in_one_file_and_in_several(prefix: str, tmp_path: Path) -> None:
    model = timm_vit()
    state = split(model.state_dict(), prefix) | {"decoder.mask_token": torch.ones(1, 1, 8)}
    names = sorted(state)
    save_file({name: state[name].contiguous() for name in names}, tmp_path / "model.safetensors")
    compare(tmp_path / "model.safetensors", model, "huggingface")
    files = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        save_file({name: state[name].contiguous() for name in names if files[name] == file}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": files}))
    compare(index, model, "huggingface")
    assert read_state_dict(index).keys() == state.keys()
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"model-00002-of-00002\.safetensors, which is not beside it"):
        read_state_dict(index)
    index.write_text(json.dumps({"weight_map": {**files, "x": "../x.safetensors"}}))
    with pytest.raises(WeightsError, match="which is not beside it"):
        read_state_dict(index)


@pytest.mark.parametrize("no_embed", [False, True], ids=["positions of their own", "no_embed_class"])
def test_register_tokens(no_embed: bool, tmp_path: Path) -> None:
    model = timm_vit(reg_tokens=3, no_embed_class=no_embed)
    path = write(tmp_path / "x.pth", model.state_dict())
    vit = ours(registers=3)
    load_backbone(vit, path)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = model.forward_features(images)
        torch.testing.assert_close(
            vit(images)[0], torch.cat((expected[:, :1], expected[:, 4:]), 1), rtol=1e-5, atol=1e-5
        )
        torch.testing.assert_close(load_vit(path, heads=4)[0].forward_features(images), expected, rtol=1e-5, atol=1e-5)
        assert vit(torch.randn(1, 3, 48, 40))[0].shape == (1, 31, 32)
    for options in (dict(relative_position="table"), dict(window_size=2, with_cls_token=False)):
        with pytest.raises(ConfigError, match="no place for register tokens"):
            ours(registers=3, **options)
    assert vit.get_layer_depth("register_tokens") == (0, 5) == vit.get_layer_depth("cls_token")


def test_released_dinov2_has_positions_for_cls_and_patches_only(tmp_path: Path) -> None:
    plain = timm_vit(reg_tokens=2, no_embed_class=False, init_values=0.1)
    state = dict(plain.state_dict())
    with torch.no_grad():
        plain.pos_embed[:, 1:3] = 0
    embed = state.pop("pos_embed")
    state |= {"pos_embed": torch.cat((embed[:, :1], embed[:, 3:]), 1), "register_tokens": state.pop("reg_token")}
    vit = ours(registers=2, layer_scale_init_value=1.0)
    load_backbone(vit, write(tmp_path / "x.pth", {**state, "mask_token": torch.ones(1, 32)}))
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = plain.forward_features(images)
        torch.testing.assert_close(
            vit(images)[0], torch.cat((expected[:, :1], expected[:, 3:]), 1), rtol=1e-5, atol=1e-5
        )


def test_clip_in_openai_names(tmp_path: Path) -> None:
    model = timm_vit(num_classes=0, pre_norm=True, act_layer="quick_gelu", norm_layer=partial(LayerNorm, eps=1e-5))
    names = {
        "norm1": "ln_1", "norm2": "ln_2", "attn.qkv.weight": "attn.in_proj_weight", "mlp.fc1": "mlp.c_fc",
        "attn.qkv.bias": "attn.in_proj_bias", "attn.proj": "attn.out_proj", "mlp.fc2": "mlp.c_proj",
        "blocks.": "transformer.resblocks.",
        "norm_pre": "ln_pre", "patch_embed.proj": "conv1", "cls_token": "class_embedding",
        "pos_embed": "positional_embedding",
    }  # fmt: skip
    state: State = {}
    for name, value in model.state_dict().items():
        new = "ln_post" + name.removeprefix("norm") if name.startswith("norm.") else name
        for old, theirs in names.items():
            new = new.replace(old, theirs)
        state[f"visual.{new}"] = value.flatten() if name == "cls_token" else value[0] if name == "pos_embed" else value
    state |= {"visual.proj": torch.ones(32, 8), "transformer.resblocks.0.ln_1.weight": torch.ones(8)}
    state |= {"positional_embedding": torch.ones(77, 8), "logit_scale": torch.ones(())}
    options = dict(pre_norm=True, norm_cfg=dict(type="LN", eps=1e-5))
    options |= dict(layer_cfgs=dict(act_cfg=dict(type="mmpretrain.QuickGELU")))
    path = write(tmp_path / "x.pth", state)
    compare(path, model, "clip (visual.*)", **options)
    report = load_backbone(ours(**options), path)
    assert "activation quick_gelu in the model; the file does not say" in str(report)
    vit, said = load_vit(path, heads=4)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(vit.forward_features(images), model.forward_features(images), rtol=1e-5, atol=1e-5)
    assert "the activation of OpenAI's CLIP assumed" in said


def test_mae_pytorch_has_no_positions_in_its_files(tmp_path: Path) -> None:
    model = timm_vit(class_token=False, global_pool="avg", fc_norm=False, img_size=224, patch_size=56)
    state: State = {}
    for name, value in model.state_dict().items():
        if name.endswith("attn.qkv.bias"):
            value[32:64] = 0
            state["encoder." + name.replace("qkv.bias", "q_bias")] = value[:32].clone()
            state["encoder." + name.replace("qkv.bias", "v_bias")] = value[64:].clone()
        elif name != "pos_embed" and not name.startswith("head"):
            state["encoder." + name] = value
    for n in range(16):
        for c in range(32):
            angle = n / 10000 ** (2 * (c // 2) / 32)
            model.pos_embed.data[0, n, c] = math.cos(angle) if c % 2 else math.sin(angle)
    state |= {"encoder_to_decoder.weight": torch.ones(8, 32), "decoder.head.weight": torch.ones(4, 8)}
    vit = randomise(MixedAEViT(arch=ARCH, img_size=224, patch_size=56, out_type="raw", with_cls_token=False))
    report = load_backbone(vit, write(tmp_path / "x.pth", {"model": state}))
    assert "mae-pytorch, with the sine positions of 224 pixels" in report.format
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(vit(images)[0], model.forward_features(images), rtol=1e-5, atol=1e-5)


def test_unusual_heads_are_said(tmp_path: Path) -> None:
    state = {f"module.base_encoder.{name}": value for name, value in timm_vit(embed_dim=384).state_dict().items()}
    path = write(tmp_path / "x.pth", {"state_dict": state})
    assert "12 heads assumed by the width" in load_vit(path)[1]  # MoCo v3's ViT-S
    arch = {**ARCH, "embed_dims": 384, "feedforward_channels": 1536, "num_heads": 6}
    report = load_backbone(MixedAEViT(arch=arch, img_size=32, patch_size=8), path)
    assert "6 heads in the model, 12 in the usual ViT of this width; the file does not say: check" in str(report)


LAYOUTS: dict[str, Callable[[], State]] = {
    "timm": lambda: dict(timm_vit().state_dict()),
    "mmpretrain": lambda: dict(ours().state_dict()),
    "beit fine-tuned": lambda: beit()[0],
    "beit pre-trained": lambda: beit(shared=True)[0],
    "hugging face": lambda: split(timm_vit().state_dict(), ""),
    "clip": lambda: {n.removeprefix("vision_model."): t for n, t in stored("clip").tensors.items()},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_no_two_formats_claim_one_file(layout: str, prefix: str) -> None:
    state = LAYOUTS[layout]()
    assert [form.claims(state) for form in FORMATS].count(True) == 1
    whole = {prefix + name: value for name, value in state.items()}
    for at in PREFIXES:
        inside = {name.removeprefix(at) for name in whole if name.startswith(at)}
        assert sum(form.claims(inside) for form in FORMATS) <= 1
    assert to_backbone(whole)[0].keys() == to_backbone(state)[0].keys()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_tensor_is_taken_or_said_to_be_dropped(layout: str) -> None:
    state = LAYOUTS[layout]()
    conversion = convert(state, "mmpretrain")
    assert set(conversion.names) | set(conversion.dropped) == set(state)
    assert not set(conversion.names) & set(conversion.dropped)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (lambda: {**timm_vit().state_dict(), "reg_token": torch.ones(1, 4, 32)}, r"register tokens: .*registers=4"),
        (lambda: {**split(timm_vit().state_dict(), ""), "embeddings.register_tokens": torch.ones(1)}, "1 unexpected"),
        (lambda: {"vision_model.encoder.layers.0.self_attn.q_proj.weight": torch.ones(2, 2)}, "of no ViT known here"),
        (lambda: {"layers.0.blocks.0.attn.relative_position_bias_table": torch.ones(2, 2)}, "Swin Transformer"),
        (lambda: {"conv.weight": torch.ones(2, 2)}, "of no ViT known here .*behind one of backbone"),
    ],
)
def test_what_has_no_place_is_refused_with_the_reason(state: Callable[[], State], words: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=words):
        load_backbone(ours(), write(tmp_path / "x.pth", state()))


@pytest.mark.parametrize("name", [*layouts.LAYOUTS, *layouts.HUGGING_FACE])
def test_each_layout_of_the_table_is_read_or_refused_with_a_reason(name: str) -> None:
    kind, text = layouts.what_happens(name)
    assert kind == ("refused" if name.startswith(("Swin", "a ResNet")) else "read"), text
    if kind == "refused":
        assert "expected" in text


@pytest.mark.parametrize("name", [*layouts.LAYOUTS, *layouts.HUGGING_FACE])
@pytest.mark.parametrize("harm", ["truncated", "flipped", "not finite", "unsafe", "another model"])
def test_bad_files_are_refused_in_every_layout(name: str, harm: str, tmp_path: Path) -> None:
    """The model stays as it was."""
    if name.startswith(("Swin", "a ResNet")):
        return
    path = layouts.write(name, tmp_path)
    model = randomise(layouts.built(path))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    data = bytearray(path.read_bytes())
    if harm == "truncated":
        path.write_bytes(data[: len(data) * 2 // 3])
    elif harm == "flipped" and path.suffix == ".pth":  # safetensors have no checksums
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
    elif harm == "not finite":
        tensors = read_state_dict(path)
        used = load_backbone(model, path, allow_missing=("ln1.*",))
        model.load_state_dict(before)
        first = next(n for n in tensors if tensors[n].ndim > 1 and n not in used.dropped and "mask" not in n)
        tensors[first].view(-1)[-1] = float("nan")
        path = write(tmp_path / "y.pth", {"state_dict": tensors})
    elif harm == "unsafe":
        path = write(tmp_path / "y.pth", {"state_dict": read_state_dict(path), "x": Path("/")})
    elif harm == "another model":
        model = randomise(MixedAEViT(arch={**ARCH, "num_layers": 5}, img_size=32, patch_size=8))
        before = {key: value.clone() for key, value in model.state_dict().items()}
    else:
        return
    with pytest.raises(WeightsError):
        load_backbone(model, path, allow_missing=("ln1.*",))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
