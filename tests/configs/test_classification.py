"""The classification recipes, number by number."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

from mixedae.datasets.mini.write import CLASSES
from mixedae.errors import DataError
from tests.configs.recipe import (
    batch_in_name,
    build_on_meta,
    find,
    learning_rates,
    load,
    parameter_groups,
    train_two_steps,
    upstream,
)

FULL = "classification/mixedae-vit-base-p16_8xb128-amp-coslr-100e_in1k"
QUICK = "mini/classification/mixedae-vit-mini-p8_1xb32-coslr-60e_mini"
TINY = "mini/classification/mixedae-vit-mini-p8_1xb32-coslr-1e_tiny-imagenet"


def dataset(cfg: Config, split: str, **changes: object) -> torch.utils.data.Dataset:
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return DATASETS.build({**cfg[f"{split}_dataloader"].dataset, **changes})


def test_model_is_maes() -> None:
    cfg = load(FULL)
    backbone, head = cfg.model.backbone, cfg.model.head
    assert (backbone.arch, backbone.img_size, backbone.patch_size, backbone.drop_path_rate) == ("base", 224, 16, 0.1)
    assert (backbone.out_type, backbone.final_norm) == ("avg_featmap", False)
    assert (head.loss.type, head.loss.label_smooth_val, head.loss.mode) == ("LabelSmoothLoss", 0.1, "original")
    assert (head.init_cfg.type, head.init_cfg.std) == ("TruncNormal", 2e-5)
    assert [(a.type, a.alpha) for a in cfg.model.train_cfg.augments] == [("Mixup", 0.8), ("CutMix", 1.0)]


def test_parameter_count_is_vit_base() -> None:
    """86,567,656, as timm's vit_base_patch16_224: fc_norm takes the final norm's place."""
    assert sum(p.numel() for p in build_on_meta(load(FULL)).parameters()) == 86_567_656


def test_model_equals_upstreams_recipe_but_for_the_backbones_type() -> None:
    """mmpretrain's own MAE fine-tuning config gives the same parameters, name by name."""
    theirs = build_on_meta(upstream("mmpretrain", "mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py"))
    ours = build_on_meta(load(FULL))
    assert {n: p.shape for n, p in ours.named_parameters()} == {n: p.shape for n, p in theirs.named_parameters()}


def test_augmentation_is_rand_m9_mstd05_inc1_with_erasing() -> None:
    train, test = load(FULL).train_pipeline, load(FULL).test_pipeline
    rand = find(train, "RandAugment")
    assert (rand.policies, rand.num_policies, rand.magnitude_level, rand.magnitude_std) == (
        "timm_increasing",
        2,
        9,
        0.5,
    )
    erase = find(train, "RandomErasing")
    assert (erase.erase_prob, erase.mode, erase.min_area_ratio, erase.max_area_ratio) == (0.25, "rand", 0.02, 1 / 3)
    crop = find(train, "RandomResizedCrop")
    assert (crop.scale, crop.interpolation, crop.backend) == (224, "bicubic", "pillow")
    assert "crop_ratio_range" not in crop  # mmpretrain's default is MAE's 8 to 100 %
    resize = find(test, "ResizeEdge")
    assert (resize.scale, resize.edge, resize.interpolation) == (256, "short", "bicubic")
    assert find(test, "CenterCrop").crop_size == 224


def test_layer_decay_and_weight_decay_of_every_parameter() -> None:
    """MAE's rule, from its definition: 0.65^(13 - depth); no decay for 1-D tensors, [CLS] and positions."""
    cfg = load(FULL)
    model = build_on_meta(cfg)
    groups = parameter_groups(cfg, model)
    assert groups.keys() == {name for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        if name.startswith("backbone.layers."):
            depth = int(name.split(".")[2]) + 1
        elif name.startswith(("backbone.patch_embed", "backbone.cls_token", "backbone.pos_embed")):
            depth = 0
        else:
            depth = 13
        spared = parameter.ndim == 1 or name in ("backbone.cls_token", "backbone.pos_embed")
        assert groups[name] == pytest.approx((2e-3 * 0.65 ** (13 - depth), 0.0 if spared else 0.05)), name
    # as printed by mmpretrain for the same recipe
    assert groups["backbone.pos_embed"][0] == pytest.approx(7.39e-6, rel=1e-3)
    assert groups["backbone.layers.0.attn.qkv.weight"][0] == pytest.approx(1.14e-5, rel=4e-3)
    assert groups["backbone.layers.11.attn.qkv.weight"][0] == pytest.approx(1.3e-3)
    assert groups["backbone.ln2.weight"][0] == groups["head.fc.weight"][0] == pytest.approx(2e-3)


def test_learning_rate_over_time() -> None:
    """Linear from (almost) 0 over 5 epochs, then a half cosine to 1e-6 times each layer's scale."""
    cfg, length, scales = load(FULL), 20, (1.0, 0.65**13)
    rates = learning_rates(cfg, scales, length)
    warm, total = 5 * length, 100 * length
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(5e-4 * 1024 / 256)
    for group, scale in enumerate(scales):
        peak, floor = 2e-3 * scale, 1e-6 * scale
        assert rates[0][group] == pytest.approx(1e-4 * peak)
        assert rates[warm // 2][group] == pytest.approx(peak / 2, rel=0.02)
        assert rates[warm][group] == pytest.approx(peak)
        for step in (warm + 1, (warm + total) // 2, total - 1):
            cosine = (1 + math.cos(math.pi * (step - warm) / (total - warm))) / 2
            assert rates[step][group] == pytest.approx(floor + (peak - floor) * cosine, rel=1e-6)


def test_batch_and_precision() -> None:
    cfg = load(FULL)
    assert batch_in_name(FULL) == cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size == 1024
    assert cfg.auto_scale_lr.enable
    assert cfg.optim_wrapper.type == "AmpOptimWrapper"
    assert cfg.optim_wrapper.get("loss_scale", "dynamic") == "dynamic" and not cfg.optim_wrapper.get("clip_grad")
    assert (cfg.optim_wrapper.optimizer.betas, cfg.train_cfg.max_epochs) == ((0.9, 0.999), 100)


@pytest.mark.parametrize("name", [QUICK, TINY])
def test_mini_keeps_the_rules_of_the_parent(name: str) -> None:
    cfg, parent = load(name), load(FULL)
    assert batch_in_name(name) == cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 32
    assert cfg.optim_wrapper.constructor == parent.optim_wrapper.constructor
    assert cfg.model.head.type == parent.model.head.type and cfg.model.head.loss == parent.model.head.loss
    assert cfg.optim_wrapper.optimizer.betas == parent.optim_wrapper.optimizer.betas
    assert len(cfg.data_preprocessor.mean) == 3 and cfg.model.head.num_classes == cfg.data_preprocessor.num_classes
    rates = [r[0] for r in learning_rates(cfg, (1.0,), epoch_length=10)]
    assert max(rates) == pytest.approx(cfg.optim_wrapper.optimizer.lr) and rates[-1] < 0.05 * max(rates)


def test_mini_reads_the_mini_benchmark(mini_data: Path) -> None:
    cfg = load(QUICK)
    train = dataset(cfg, "train", data_root=str(mini_data / "imagenet"))
    val = dataset(cfg, "val", data_root=str(mini_data / "imagenet"))
    assert train.metainfo["classes"] == val.metainfo["classes"] == tuple(sorted(CLASSES))
    assert {int(train[i]["data_samples"].gt_label) for i in range(len(train))} == set(range(10))
    assert train[0]["inputs"].shape == val[0]["inputs"].shape == (3, 64, 64)


def test_tiny_imagenet_has_three_channels_and_a_label_for_each_folder(sample_data: Path) -> None:
    """444 of the files are grey: each must come out as RGB with equal channels, labelled by its folder's place."""
    cfg = load(TINY)
    root = sample_data / "tiny_imagenet100"
    val = dataset(cfg, "val", data_root=str(root))
    folders = sorted(p.name for p in (root / "val").iterdir())
    assert len(folders) == cfg.model.head.num_classes == len(val.metainfo["classes"])
    grey = 0
    for i in range(0, len(val), 7):
        info = val.get_data_info(i)
        assert folders[int(info["gt_label"])] == Path(info["img_path"]).parent.name
        with Image.open(info["img_path"]) as picture:
            is_grey = picture.mode == "L"
        inputs = val[i]["inputs"]
        assert inputs.shape == (3, 64, 64)
        if is_grey:
            grey += 1
            assert (inputs[0] == inputs[1]).all() and (inputs[1] == inputs[2]).all()
    assert grey > 0


@pytest.mark.parametrize("name", [FULL, QUICK, TINY])
def test_a_truncated_jpeg_is_an_error(name: str, tmp_path: Path) -> None:
    """OpenCV would decode its missing half to grey."""
    for label in "ab":
        (tmp_path / "train" / label).mkdir(parents=True)
        path = tmp_path / "train" / label / "x.jpg"
        Image.effect_noise((64, 64), 90).convert("RGB").save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cfg = load(name)
    kind = {"type": "CustomDataset", "data_prefix": "train", "pipeline": [cfg.train_pipeline[0]]}
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        broken = DATASETS.build({**kind, "data_root": str(tmp_path)})
    with pytest.raises(DataError, match=r"x\.jpg cannot be decoded: .*truncated"):
        broken[0]


@pytest.mark.train
def test_two_steps_on_photographs(sample_data: Path, tmp_path: Path) -> None:
    metrics = train_two_steps(load(TINY), tmp_path, sample_data / "tiny_imagenet100")
    assert 0 <= metrics["accuracy/top1"] <= 100
