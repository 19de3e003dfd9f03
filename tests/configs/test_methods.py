"""The other methods' recipes: sizes as published, what each builds, two steps at a reduced size, and the transfer."""

import copy
import math
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from mmengine.config import Config
from torch import nn

from mixedae.engine import StrictRunner
from mixedae.models import MixedAEViT, ResNet
from mixedae.nodes import seen_per_picture, walk
from mixedae.weights import fingerprint, load_backbone
from tests.configs.recipe import CONFIGS, build_on_meta, load

FULL = {
    "dino_vit-small-p16_8xb64-amp-coslr-100e_in1k": "vit_small_patch16_224",
    "dino_vit-base-p16_16xb64-coslr-400e_in1k": "vit_base_patch16_224",
    "ibot_vit-small-p16_16xb64-amp-coslr-800e_in1k": "vit_small_patch16_224",
    "ibot_vit-base-p16_16xb64-amp-coslr-400e_in1k": "vit_base_patch16_224",
    "mocov3_vit-base-p16_16xb256-amp-coslr-300e_in1k": "vit_base_patch16_224",
    "simmim_vit-base-p16_16xb128-amp-steplr-800e_in1k": "vit_base_patch16_224",
    "deit_vit-base-p16_8xb128-amp-coslr-300e_in1k": "vit_base_patch16_224",
}
LEARNING_RATE = dict(zip(FULL, (1e-3, 7.5e-4, 2e-3, 7.5e-4, 2.4e-3, 4e-4, 1e-3), strict=True))
MINI = {
    "dino": "mini/pretrain/dino_vit-mini-p8_1xb64-coslr-6e_mini",
    "ibot": "mini/pretrain/ibot_vit-mini-p8_1xb64-coslr-6e_mini",
    "mocov3": "mini/pretrain/mocov3_vit-mini-p8_1xb64-coslr-9e_mini",
    "simmim": "mini/pretrain/simmim_vit-mini-p8_1xb64-coslr-18e_mini",
    "deit": "mini/pretrain/deit_vit-mini-p8_1xb64-coslr-18e_mini",
}


def numbers(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", FULL)
def test_the_encoder_has_the_published_size(name: str) -> None:
    cfg = load(f"pretrain/{name}")
    model = build_on_meta(cfg)
    with torch.device("meta"):
        published = numbers(timm.create_model(FULL[name], num_classes=0))
    extra = model.backbone.mask_token.numel() if hasattr(model.backbone, "mask_token") else 0
    assert numbers(model.backbone) - extra == published
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(LEARNING_RATE[name])
    images = cfg.train_dataloader.batch_size * int(name.split("xb")[0].split("_")[-1])
    assert cfg.auto_scale_lr.base_batch_size == images
    assert cfg.train_cfg.max_epochs == int(name.split("e_in1k")[0].split("-")[-1])
    assert cfg.param_scheduler[-1].get("end", cfg.train_cfg.max_epochs) == cfg.train_cfg.max_epochs


def test_self_distillation_is_as_published() -> None:
    small, base, ibot = (load(f"pretrain/{name}") for name in list(FULL)[:3])
    assert [m.head.out_dim for m in (small.model, base.model, ibot.model)] == [65536, 65536, 8192]
    views = small.train_pipeline[1]
    assert views.num_views == [1, 1, 8] and base.train_pipeline[1].num_views == [1, 1, 10]
    scales = [[t[0].crop_ratio_range for t in cfg.train_pipeline[1].transforms] for cfg in (small, base, ibot)]
    assert scales[0] == [(0.4, 1.0), (0.4, 1.0), (0.05, 0.4)]
    assert scales[1] == scales[2] == [(0.25, 1.0), (0.25, 1.0), (0.05, 0.25)]
    assert [t[0].scale for t in views.transforms] == [224, 224, 96]
    assert (small.optim_wrapper.clip_grad.max_norm, base.optim_wrapper.clip_grad.max_norm) == (3.0, 0.3)
    assert (small.model.frozen_epochs, base.model.frozen_epochs) == (1, 3)
    assert (base.model.teacher_temperature, base.model.warmup_epochs) == (0.07, 50)
    hooks = {hook["type"] for hook in base.custom_hooks}
    assert {"mixedae.MethodStepsHook", "mixedae.WeightDecayHook", "mixedae.NonFiniteLossHook"} <= hooks
    model = build_on_meta(small)
    head = numbers(model.student["head"])
    mlp = (384 * 2048 + 2048) + (2048 * 2048 + 2048) + (2048 * 256 + 256)
    assert head == mlp + 65536 * 256 + 65536
    assert not any(p.requires_grad for p in model.backbone.parameters())


def test_moco_v3_keeps_projection_and_positions() -> None:
    model = build_on_meta(load(f"pretrain/{list(FULL)[4]}"))
    fixed = {name for name, p in model.backbone.named_parameters() if not p.requires_grad}
    assert fixed == {"patch_embed.projection.weight", "patch_embed.projection.bias", "pos_embed"}
    assert isinstance(model.neck.last_bn if hasattr(model.neck, "last_bn") else model.neck.bn0, nn.Module)


def reduced(name: str, data: Path, work_dir: Path) -> Config:
    cfg = copy.deepcopy(load(name))
    split = "train" if "deit" in name else "pretrain"
    dataset = cfg.train_dataloader.dataset
    dataset.get("dataset", dataset).update(data_root=str(data / "imagenet"), data_prefix=split)
    return reduced_loops(cfg, work_dir)


def reduced_loops(cfg: Config, work_dir: Path) -> Config:
    """Two iterations of eight pictures."""
    cfg.train_dataloader.update(batch_size=8, num_workers=0, persistent_workers=False)
    cfg.train_cfg = dict(type="mixedae.ExactIterLoop", max_iters=2)
    if cfg.get("val_dataloader"):
        cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
        cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None
    cfg.default_hooks.checkpoint = dict(type="CheckpointHook", by_epoch=False, interval=2)
    cfg.log_processor, cfg.param_scheduler = dict(by_epoch=False), None
    cfg.auto_scale_lr = dict(base_batch_size=8, enable=True)
    cfg.work_dir = str(work_dir)
    return cfg


@pytest.mark.train
@pytest.mark.parametrize("method", MINI)
def test_two_steps_and_the_way_to_the_tasks(method: str, mini_data: Path, tmp_path: Path) -> None:
    """The encoder that is handed on is the one in ``backbone``: the teacher's of DINO and iBOT."""
    cfg = reduced(MINI[method], mini_data, tmp_path)
    runner = StrictRunner.from_cfg(cfg)
    runner.model.init_weights()
    start = {name: p.detach().clone() for name, p in runner.model.named_parameters()}
    runner.train()
    model = runner.model
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, start[n])}
    learns = {n for n, p in model.named_parameters() if p.requires_grad}
    if method in ("dino", "ibot"):
        followed = {n for n in moved if n.startswith(("backbone.", "head."))}
        assert "backbone.layers.0.attn.qkv.weight" in followed  # the teacher follows
        assert "student.head.prototypes" not in moved  # in the first epoch
        learns = {n for n in learns if n != "student.head.prototypes"}
        assert moved - followed <= learns
    assert all(torch.isfinite(p).all() for p in model.parameters())
    vit = MixedAEViT(arch=cfg.model.backbone.arch, img_size=64, patch_size=8, out_type="raw")
    report = load_backbone(vit, tmp_path / "iter_2.pth")
    assert report.fingerprint == fingerprint(model.backbone, report.matched)
    assert not report.allowed_missing or all(name.startswith("ln2") for name in report.allowed_missing)


def test_as_many_pixels_are_seen_by_every_mini_recipe() -> None:
    for method, name in MINI.items():
        cfg = load(name)
        epochs, pictures = cfg.train_cfg.max_epochs, 300 * 27 if method == "deit" else 8000
        views = next((step for step in cfg.train_pipeline if step["type"] == "MultiView"), None)
        seen = 1.0
        if views:
            sides = [t[0].scale for t in views.transforms]
            seen = sum(n * (side / 64) ** 2 for n, side in zip(views.num_views, sides, strict=True))
        assert seen == seen_per_picture(cfg.train_dataloader), method
        assert math.isclose(epochs * pictures * seen, 18 * 8000, rel_tol=0.02), method
    full = load(f"pretrain/{next(iter(FULL))}")
    assert seen_per_picture(full.train_dataloader) == pytest.approx(2 + 8 * (96 / 224) ** 2)


RESNET = sorted(path.stem for path in (CONFIGS / "pretrain/resnet50").glob("*.py"))


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.parametrize("name", RESNET)
def test_resnet_methods_build_and_take_two_steps(name: str, mini_data: Path, tmp_path: Path) -> None:
    cfg = copy.deepcopy(load(f"pretrain/resnet50/{name}"))
    cfg.train_dataloader.dataset = dict(
        type="CustomDataset",
        data_root=str(mini_data / "imagenet"),
        data_prefix="pretrain",
        pipeline=cfg.train_dataloader.dataset.pipeline,
    )
    for _, step in walk(cfg.train_dataloader.dataset.pipeline):
        if step.get("scale") is not None:
            step["scale"] = 64 if step["scale"] == 224 else 32
    cfg = reduced_loops(cfg, tmp_path)
    runner = StrictRunner.from_cfg(cfg)
    runner.train()
    assert all(torch.isfinite(p).all() for p in runner.model.parameters())
    backbone = runner.model.backbone
    with torch.device("meta"):
        assert numbers(backbone) == numbers(torchvision.models.resnet50()) - (2048 * 1000 + 1000)
    model = ResNet(depth=50)
    report = load_backbone(model, tmp_path / "iter_2.pth")
    assert report.fingerprint == fingerprint(backbone, report.matched)
