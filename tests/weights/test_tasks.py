"""Each task starts from the checkpoint's own tensors, in whatever names they come."""

from pathlib import Path

import pytest
import timm
import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.models import VisionTransformer, VisionTransformerClsHead
from torch import Tensor, nn

from mixedae.weights import convert, fingerprint, write_state_dict
from tests.configs.recipe import load
from tests.weights.vits import randomise

TASKS = {
    "classification": "mini/classification/mixedae-vit-mini-p8_1xb32-coslr-60e_mini",
    "segmentation": "mini/segmentation/mixedae-vit-mini_upernet_1xb4-20e_mini-128x128",
    "detection": "mini/detection/cascade-mask-rcnn_mixedae-vit-mini_fpn_10e_mini",
}
ADDS = {
    "nothing": {},
    "ADE20K's": {"relative_position": "table", "layer_scale_init_value": 1.0},
    "ViTDet's": {"relative_position": "decomposed", "window_size": 3, "global_layers": (1, 3), "with_cls_token": False},
}
KINDS = {  # where the weights come from: the format that they are recognised as
    "MixedAE": "mmpretrain",
    "MAE": "mmpretrain",
    "facebookresearch/mae, pre-trained": "mae-pretrained",
    "facebookresearch/mae, fine-tuned": "mae-finetuned",
    "timm": "timm",
    "mmpretrain, classifier": "mmpretrain",
    "mmpretrain, bare": "mmpretrain-backbone",
}
CASES = [(kind, "nothing") for kind in KINDS]
CASES += [(kind, adds) for adds in list(ADDS)[1:] for kind in ("MixedAE", "facebookresearch/mae, pre-trained")]


def checkpoint(kind: str) -> dict[str, Tensor]:
    """The state dict of a model of that kind with the mini ViT, every tensor drawn."""
    arch = load(TASKS["classification"]).model.backbone.arch
    sizes = dict(img_size=64, patch_size=8)
    if kind in ("MixedAE", "MAE"):
        cfg = load(f"mini/pretrain/{kind.lower()}_vit-mini-p8_1xb64-coslr-15e_mini")
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            model = MODELS.build(cfg.model)
        return randomise(model).state_dict()
    if kind.startswith("mmpretrain"):
        bare = randomise(VisionTransformer(arch=arch, **sizes))
        classifier = nn.ModuleDict({"backbone": bare, "head": randomise(VisionTransformerClsHead(10, arch.embed_dims))})
        return (bare if kind.endswith("bare") else classifier).state_dict()
    averages = kind.endswith("fine-tuned")
    options = dict(depth=arch.num_layers, embed_dim=arch.embed_dims, num_heads=arch.num_heads, num_classes=10)
    pool = dict(global_pool="avg" if averages else "token")  # official MAE's fine-tuned ViT is timm's with fc_norm
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, **options, **sizes, **pool)
    state = dict(randomise(model).state_dict())
    if kind.endswith("pre-trained"):
        state = {name: value for name, value in state.items() if not name.startswith("head.")}
        state |= {"mask_token": torch.zeros(1, 1, 64), "decoder_pred.weight": torch.zeros(192, 64)}
    return state


@pytest.mark.train
@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize(("kind", "adds"), CASES)
def test_the_fingerprint_of_the_loaded_backbone_is_the_checkpoints(
    task: str, kind: str, adds: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    state = checkpoint(kind)
    path = tmp_path / ("x.safetensors" if kind == "timm" else "x.pth")
    write_state_dict(path, state)
    cfg = load(TASKS[task])
    model_cfg = {**cfg.model, "data_preprocessor": cfg.model.get("data_preprocessor", cfg.get("data_preprocessor"))}
    model_cfg["backbone"] = {**cfg.model.backbone, **ADDS[adds]}
    model_cfg["backbone"]["init_cfg"] = dict(type="mixedae.PretrainedViT", checkpoint=str(path))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(model_cfg)
    model.init_weights()
    report = model.backbone.load_report
    assert report.format == KINDS[kind]
    source = convert(state, "mmpretrain-backbone").tensors
    taken = set(report.matched) | set(report.resized)
    assert taken | set(report.unexpected) == set(source)
    assert fingerprint(model.backbone, report.matched) == report.fingerprint == fingerprint(source, report.matched)
    assert report.checkpoint_fingerprint == fingerprint(source) == report.summary()["checkpoint_fingerprint"]
    assert report.checkpoint_fingerprint[:12] in str(report) and report.fingerprint[:12] in str(report)
    resized = {"pos_embed"} if task != "classification" or adds == "ViTDet's" else set()
    norm, has_norm = ("ln2", task == "classification") if kind.endswith("fine-tuned") else ("ln1", False)
    without_use = set() if has_norm else {f"{norm}.weight", f"{norm}.bias"}
    without_use |= {"cls_token"} if adds == "ViTDet's" else set()
    assert set(report.resized) == resized and set(report.unexpected) == without_use
    new = set(model.backbone.state_dict()) - taken
    assert set(report.allowed_missing) == new
    marks = (".attn.relative_position_bias_table", ".gamma1.", ".gamma2.", ".rel_pos_", "ln2.")
    assert all(any(mark in name for mark in marks) for name in new)
    per_layer = {"nothing": 0, "ADE20K's": 3, "ViTDet's": 2}[adds]
    assert len(new) == 4 * per_layer + (2 if task == "classification" and not has_norm else 0)
    assert len(report.matched) + len(report.resized) + len(report.unexpected) + len(report.dropped) == len(state)
