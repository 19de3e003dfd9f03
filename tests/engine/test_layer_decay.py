"""Parameter groups, name by name, against tables and rules that are written down independently."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.optim.scheduler import CosineAnnealingLR
from mmengine.registry import DefaultScope
from mmpretrain.models import ImageClassifier, VisionTransformer
from torch import nn

from mixedae.errors import ConfigError, LayerDecayError
from mixedae.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mixedae.weights import timm_to_mmpretrain
from tests.weights.vits import ARCH, mm_vit, timm_vit

BACKBONE = {"type": "mmpretrain.VisionTransformer", "arch": ARCH, "img_size": 32, "patch_size": 8}
BLOCK_WEIGHTS = ("attn.qkv.weight", "attn.proj.weight", "ffn.layers.0.0.weight", "ffn.layers.1.weight")
BLOCK_VECTORS = (
    "ln1.weight", "ln1.bias", "ln2.weight", "ln2.bias",
    "attn.qkv.bias", "attn.proj.bias", "ffn.layers.0.0.bias", "ffn.layers.1.bias",
)  # fmt: skip


def expected_backbone(prefix: str = "backbone.", spare_tokens: bool = True) -> dict[str, tuple[float, float]]:
    """(learning rate scale, weight decay) of a 3-layer ViT at rate 0.5 and weight decay 0.05."""
    tokens = 0.0 if spare_tokens else 0.05
    table = {"cls_token": (0.0625, tokens), "pos_embed": (0.0625, tokens)}
    table |= {"patch_embed.projection.weight": (0.0625, 0.05), "patch_embed.projection.bias": (0.0625, 0.0)}
    for layer, scale in ((0, 0.125), (1, 0.25), (2, 0.5)):
        table |= {f"layers.{layer}.{name}": (scale, 0.05) for name in BLOCK_WEIGHTS}
        table |= {f"layers.{layer}.{name}": (scale, 0.0) for name in BLOCK_VECTORS}
    return {prefix + name: value for name, value in table.items()}


def build(model: nn.Module, lr: float = 0.01, **paramwise: Any) -> OptimWrapper:
    return build_optim_wrapper(
        model,
        {
            "optimizer": {"type": "AdamW", "lr": lr, "weight_decay": 0.05},
            "constructor": "mixedae.LearningRateDecayOptimWrapperConstructor",
            "paramwise_cfg": paramwise or None,
        },
    )


def found(model: nn.Module, wrapper: OptimWrapper) -> dict[str, tuple[float, float]]:
    """(scale, weight decay) by name; every trainable parameter must be in exactly one group."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    result: dict[str, tuple[float, float]] = {}
    for group in wrapper.optimizer.param_groups:
        assert [names[id(parameter)] for parameter in group["params"]] == list(group["param_names"])
        assert group["lr"] == pytest.approx(wrapper.optimizer.defaults["lr"] * group["lr_scale"])
        for name in group["param_names"]:
            assert name not in result
            result[name] = (group["lr_scale"], group["weight_decay"])
    assert result.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    keys = [(group["lr_scale"], group["weight_decay"]) for group in wrapper.optimizer.param_groups]
    assert len(keys) == len(set(keys)) and len({group["name"] for group in wrapper.optimizer.param_groups}) == len(keys)
    return result


def test_mmpretrain_classifier() -> None:
    backbone = {**BACKBONE, "out_type": "avg_featmap", "final_norm": False}
    head = {"type": "LinearClsHead", "num_classes": 3, "in_channels": 32}
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = ImageClassifier(backbone=backbone, head=head)
    expected = expected_backbone() | {
        "backbone.ln2.weight": (1.0, 0.0),
        "backbone.ln2.bias": (1.0, 0.0),
        "head.fc.weight": (1.0, 0.05),
        "head.fc.bias": (1.0, 0.0),
    }
    assert found(model, build(model, layer_decay_rate=0.5)) == expected


def test_mmseg_encoder_decoder_where_positions_decay_as_in_the_published_code() -> None:
    from mmseg.models import EncoderDecoder

    backbone = {**BACKBONE, "out_type": "featmap", "final_norm": False, "out_indices": [2]}
    head = {
        "type": "FCNHead", "in_channels": 32, "channels": 8, "num_classes": 3, "num_convs": 1,
        "norm_cfg": {"type": "BN"}, "in_index": 0, "concat_input": False,
    }  # fmt: skip
    with DefaultScope.overwrite_default_scope("mmseg"):
        model = EncoderDecoder(backbone=backbone, decode_head=head)
    expected = expected_backbone(spare_tokens=False) | {
        "decode_head.conv_seg.weight": (1.0, 0.05),
        "decode_head.conv_seg.bias": (1.0, 0.0),
        "decode_head.convs.0.conv.weight": (1.0, 0.05),
        "decode_head.convs.0.bn.weight": (1.0, 0.0),
        "decode_head.convs.0.bn.bias": (1.0, 0.0),
    }
    assert found(model, build(model, layer_decay_rate=0.5, no_decay=())) == expected


@pytest.mark.train
def test_mmdet_cascade_mask_rcnn() -> None:
    import mmdet
    from mmdet.registry import MODELS

    cfg = Config.fromfile(Path(mmdet.__file__).parent / ".mim/configs/_base_/models/cascade-mask-rcnn_r50_fpn.py")
    cfg.model.backbone = {**BACKBONE, "out_type": "featmap", "final_norm": False, "out_indices": [0, 1, 2, 2]}
    cfg.model.neck.in_channels = [32] * 4
    with MODELS.switch_scope_and_registry("mmdet") as registry:
        model = registry.build(cfg.model)
    wrapper = build(model, layer_decay_rate=0.5)
    result = found(model, wrapper)
    backbone = {name: value for name, value in result.items() if name.startswith("backbone.")}
    assert backbone == expected_backbone()
    others = {name: value for name, value in result.items() if not name.startswith("backbone.")}
    assert len(others) > 50 and {scale for scale, _ in others.values()} == {1.0}
    for name, parameter in model.named_parameters():
        if name in others:
            assert others[name][1] == (0.0 if parameter.ndim == 1 else 0.05), name


def test_a_bare_backbone_is_asked_itself() -> None:
    model = mm_vit()
    expected = expected_backbone(prefix="") | {"ln1.weight": (1.0, 0.0), "ln1.bias": (1.0, 0.0)}
    assert found(model, build(model, layer_decay_rate=0.5)) == expected


@pytest.mark.parametrize("rate", [0.65, 0.75, 0.9])
@pytest.mark.parametrize("depth", [1, 3, 12])
def test_mae_fine_tuning_rule_on_a_timm_model(rate: float, depth: int) -> None:
    """facebookresearch/mae's description of its rule, on timm's names, then translated."""
    source = timm_vit(depth=depth, global_pool="avg")
    model = mm_vit(arch={**ARCH, "num_layers": depth}, out_type="avg_featmap", final_norm=False)
    expected = {}
    for name, parameter in source.named_parameters():
        if name in ("cls_token", "pos_embed") or name.startswith("patch_embed"):
            layer = 0
        elif name.startswith("blocks"):
            layer = int(name.split(".")[1]) + 1
        else:
            layer = depth + 1
        decay = 0.0 if parameter.ndim == 1 or name in ("pos_embed", "cls_token") else 0.05
        expected[timm_to_mmpretrain(name)] = (pytest.approx(rate ** (depth + 1 - layer)), decay)
    expected = {name: value for name, value in expected.items() if not name.startswith("head")}
    assert found(model, build(model, layer_decay_rate=rate)) == expected


def test_official_mae_pretraining_rule_decays_tokens() -> None:
    """timm's add_weight_decay: one-dimensional tensors and biases are spared, tokens are not."""
    model = nn.Module()
    model.backbone, model.neck = mm_vit(), nn.Module()
    model.backbone.pos_embed.requires_grad = False
    model.neck.mask_token, model.neck.embed = nn.Parameter(torch.ones(1, 1, 8)), nn.Linear(8, 8)
    result = found(model, build(model, no_decay=()))
    assert set(result.values()) == {(1.0, 0.0), (1.0, 0.05)}
    decayed = {name for name, (_, decay) in result.items() if decay}
    assert {"backbone.cls_token", "neck.mask_token", "neck.embed.weight"} <= decayed
    assert decayed == {name for name, p in model.named_parameters() if p.requires_grad and p.ndim > 1}
    assert "backbone.pos_embed" not in result


def test_biases_are_spared_whatever_their_shape() -> None:
    model = nn.Module()
    model.part = nn.Linear(2, 2)
    model.part.bias = nn.Parameter(torch.ones(2, 2))
    assert found(model, build(model))["part.bias"] == (1.0, 0.0)


def test_suffixes_match_whole_names_only() -> None:
    model = nn.Module()
    model.my_pos_embed, model.table = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    model.pos_embed = nn.Parameter(torch.ones(2, 2))
    result = found(model, build(model, no_decay=("pos_embed", "table")))
    assert {name for name, (_, decay) in result.items() if decay == 0} == {"pos_embed", "table"}


@pytest.mark.parametrize(
    ("paramwise", "message"),
    [
        ({"layer_decay": 0.65}, "unknown key `layer_decay`; did you mean `layer_decay_rate`"),
        ({"no_decai": ()}, "did you mean `no_decay`"),
        ({"custom_keys": {}}, "unknown key `custom_keys`"),
        ({"layer_decay_rate": 0.0}, "expected 0 < rate <= 1"),
        ({"layer_decay_rate": 1.5}, "expected 0 < rate <= 1"),
        ({"no_decay": "pos_embed"}, "sequence of name suffixes"),
    ],
)
def test_wrong_settings_are_named(paramwise: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(mm_vit(), **paramwise)


def test_a_decay_that_decays_nothing_is_an_error() -> None:
    resnet = nn.Module()
    resnet.backbone = nn.Linear(2, 2)
    with pytest.raises(LayerDecayError, match=r"get_layer_depth.*found Linear in Module"):
        build(resnet, layer_decay_rate=0.65)
    with pytest.raises(LayerDecayError, match="found Linear in Linear"):
        build(nn.Linear(2, 2), layer_decay_rate=0.65)
    build(resnet)  # without layer decay any model will do
    frozen = nn.Module()
    frozen.backbone, frozen.head = mm_vit(), nn.Linear(2, 2)
    frozen.backbone.requires_grad_(False)
    with pytest.raises(LayerDecayError, match="would decay nothing"):
        build(frozen, layer_decay_rate=0.65)


def test_a_backbone_with_foreign_names_does_not_decay_silently() -> None:
    """ViTDet's constructor gives scale 1 to every parameter of mmpretrain's ViT; such a rule must raise here."""

    class Foreign(VisionTransformer):
        def get_layer_depth(self, param_name: str, prefix: str = "") -> tuple[int, int]:
            return self.num_layers + 1, self.num_layers + 2

    model = nn.Module()
    model.backbone = Foreign(arch=ARCH, img_size=32, patch_size=8)
    with pytest.raises(LayerDecayError, match="would decay nothing"):
        build(model, layer_decay_rate=0.65)


def test_schedules_act_on_every_groups_own_rate() -> None:
    """eta_min_ratio gives MAE's min_lr x lr_scale at the end; eta_min is absolute."""
    for option, end in (({"eta_min_ratio": 0.1}, lambda scale: 0.001 * scale), ({"eta_min": 1e-4}, lambda scale: 1e-4)):
        wrapper = build(mm_vit(), layer_decay_rate=0.5)
        scheduler = CosineAnnealingLR(wrapper, T_max=8, by_epoch=False, **option)
        for step in range(1, 9):
            wrapper.optimizer.step()
            scheduler.step()
            for group in wrapper.optimizer.param_groups:
                top, low = 0.01 * group["lr_scale"], end(group["lr_scale"])
                expected = low + (top - low) * (1 + math.cos(math.pi * step / 8)) / 2
                assert group["lr"] == pytest.approx(expected), (option, step)


def test_a_mixed_precision_recipe_becomes_plain_by_its_type_alone() -> None:
    cfg = {
        "type": "OptimWrapper",
        "loss_scale": "dynamic",
        "dtype": "float16",
        "optimizer": {"type": "SGD", "lr": 0.1},
        "constructor": "mixedae.LearningRateDecayOptimWrapperConstructor",
    }
    assert type(build_optim_wrapper(nn.Linear(2, 2), cfg)) is OptimWrapper
    with pytest.raises(TypeError, match="loss_skale"):
        build_optim_wrapper(nn.Linear(2, 2), {**cfg, "loss_skale": 1})


def test_the_amp_wrapper_is_built_with_the_same_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """AmpOptimWrapper refuses a CPU when it is built; its question is answered with yes."""
    from mmengine.optim.optimizer import amp_optimizer_wrapper

    monkeypatch.setattr(amp_optimizer_wrapper, "is_cuda_available", lambda: True)
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        {
            "type": "mixedae.LearningRateDecayOptimWrapperConstructor",
            "optim_wrapper_cfg": {
                "type": "AmpOptimWrapper",
                "optimizer": {"type": "SGD", "lr": 0.1},
                "dtype": "bfloat16",
            },
            "paramwise_cfg": {"layer_decay_rate": 0.5},
        }
    )
    wrapper = constructor(mm_vit())
    assert type(wrapper).__name__ == "AmpOptimWrapper"
    scales = {group["lr_scale"] for group in wrapper.optimizer.param_groups}
    assert scales == {0.0625, 0.125, 0.25, 0.5, 1.0}
    assert {group["weight_decay"] for group in wrapper.optimizer.param_groups} == {0.0}


def test_amp_keys_set_to_none_are_not_handed_on() -> None:
    """A child config resets ``loss_scale`` with None; AmpOptimWrapper would refuse it."""
    from mixedae.engine import LearningRateDecayOptimWrapperConstructor

    cfg = {"type": "AmpOptimWrapper", "loss_scale": None, "optimizer": {"type": "AdamW", "lr": 1e-3}}
    assert "loss_scale" not in LearningRateDecayOptimWrapperConstructor(cfg).optim_wrapper_cfg
    kept = LearningRateDecayOptimWrapperConstructor({**cfg, "loss_scale": "dynamic"}).optim_wrapper_cfg
    assert kept["loss_scale"] == "dynamic"
