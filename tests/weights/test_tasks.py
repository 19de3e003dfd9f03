"""Each task starts from the checkpoint's own tensors, in whatever names they come."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor

from mixedae.models import MixedAEPretrainViT
from mixedae.weights import convert, fingerprint, write_state_dict
from tests.configs.recipe import load

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


@pytest.fixture(scope="module")
def pretrained() -> dict[str, Tensor]:
    """A mini encoder as pre-training leaves it, every tensor drawn."""
    arch = load(TASKS["classification"]).model.backbone.arch
    encoder = MixedAEPretrainViT(arch=arch, img_size=64, patch_size=8)
    generator = torch.Generator().manual_seed(0)
    return {f"backbone.{n}": torch.randn(v.shape, generator=generator) for n, v in encoder.state_dict().items()}


@pytest.mark.train
@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize("kind", ["mixedae", "mae", "timm"])
@pytest.mark.parametrize("adds", list(ADDS))
def test_the_fingerprint_of_the_loaded_backbone_is_the_checkpoints(
    task: str, kind: str, adds: str, pretrained: dict[str, Tensor], tmp_path: Path
) -> None:
    if kind == "mixedae":
        state = pretrained | {"segment_embed.weight": torch.zeros(4, 96), "head.projector.weight": torch.zeros(8, 96)}
    else:
        state = convert(pretrained, "timm").tensors
        if kind == "mae":
            state |= {"mask_token": torch.zeros(1, 1, 64), "decoder_pred.weight": torch.zeros(192, 64)}
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
    source = convert(pretrained, "mmpretrain-backbone").tensors
    taken = set(report.matched) | set(report.resized)
    assert taken | set(report.unexpected) == set(source)
    assert fingerprint(model.backbone, report.matched) == report.fingerprint == fingerprint(source, report.matched)
    resized = {"pos_embed"} if task != "classification" or adds == "ViTDet's" else set()
    without_use = {"ln1.weight", "ln1.bias"} | ({"cls_token"} if adds == "ViTDet's" else set())
    assert set(report.resized) == resized and set(report.unexpected) == without_use
    new = set(model.backbone.state_dict()) - taken
    assert set(report.allowed_missing) == new
    marks = (".attn.relative_position_bias_table", ".gamma1.", ".gamma2.", ".rel_pos_", "ln2.")
    assert all(any(mark in name for mark in marks) for name in new)
    per_layer = {"nothing": 0, "ADE20K's": 3, "ViTDet's": 2}[adds]
    assert len(new) == 4 * per_layer + (2 if task == "classification" else 0)
