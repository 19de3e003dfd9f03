"""A BEiT, a DINO and a Hugging Face ViTMAE file each go through the three tasks: loaded, and two training steps."""

import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from torch import Tensor

from mixedae.files import ROOT
from mixedae.weights import fingerprint, read_state_dict, to_backbone
from tests.weights.test_layouts import split
from tests.weights.test_tasks import TASKS
from tests.weights.vits import randomise

BEIT = dict(relative_position="table", layer_scale_init_value=0.1)
SIZES = dict(depth=4, embed_dim=96, num_heads=3, img_size=64, patch_size=8, num_classes=0)


def small(module: torch.nn.Module) -> dict[str, Tensor]:
    """Its tensors, drawn, but not so large that a step explodes."""
    return {name: value * 0.3 for name, value in randomise(module).state_dict().items()}


def beit() -> dict[str, Any]:
    model = timm.create_model("beit_base_patch16_224", pretrained=False, init_values=0.1, **SIZES)
    state = {n: v for n, v in small(model).items() if not n.endswith(("k_bias", "relative_position_index"))}
    return {"model": state}


def dino() -> dict[str, Any]:
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, **SIZES)
    teacher, student = small(model), small(model)
    heads = {"head.last_layer.weight_v": torch.ones(4, 4)}
    return {
        "teacher": {f"backbone.{n}": v for n, v in teacher.items()} | heads,
        "student": {f"module.backbone.{n}": v for n, v in student.items()} | heads,
    }


def vit_mae() -> dict[str, Any]:
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, **SIZES)
    return split(small(model), "vit.") | {"decoder.mask_token": torch.ones(1, 1, 8)}


FILES = {
    "BEiT": (beit, BEIT, "beit"),
    "DINO": (dino, {}, "timm [teacher"),
    "ViTMAE": (vit_mae, {}, "huggingface (vit.*)"),
}


@pytest.mark.train
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", FILES)
def test_two_steps(kind: str, task: str, mini_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make, options, called = FILES[kind]
    torch.manual_seed(0)
    torch.save(make(), tmp_path / "x.pth")
    monkeypatch.setenv("MIXEDAE_DATA_MINI", str(mini_data))
    cfg = Config.fromfile(ROOT / "mm_configs" / f"{TASKS[task]}.py")
    cfg.model.backbone.update(options)
    cfg.model.backbone.init_cfg.checkpoint = str(tmp_path / "x.pth")
    cfg.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build({"data_preprocessor": cfg.get("data_preprocessor"), **cfg.model})
        model.init_weights()
        report = model.backbone.load_report
        assert report.format.startswith(called)
        assert report.checkpoint_fingerprint == fingerprint(to_backbone(read_state_dict(tmp_path / "x.pth"))[0])
        start = {name: value.clone() for name, value in model.backbone.state_dict().items()}
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        batches = iter(Runner.build_dataloader(cfg.train_dataloader, seed=0))
        for _ in range(2):
            losses = model.train_step(next(batches), wrapper)
            assert all(torch.isfinite(value).all() for name, value in losses.items() if re.search("loss", name))
    moved = [name for name, value in model.backbone.state_dict().items() if not torch.equal(value, start[name])]
    assert {"layers.0.attn.qkv.weight", "cls_token"} <= set(moved)
