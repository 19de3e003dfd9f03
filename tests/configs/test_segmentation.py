"""The segmentation recipes, number by number."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

from mixedae.benchmark.plan.suites import BENCHMARK, load_suite
from mixedae.datasets.mini.write import CLASSES
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

FULL = "segmentation/mixedae-vit-base_upernet_8xb2-amp-160k_ade20k-512x512"
QUICK = "mini/segmentation/mixedae-vit-mini_upernet_1xb4-20e_mini-128x128"
CAMVID = "mini/segmentation/mixedae-vit-mini_upernet_1xb4-6e_camvid-128x128"


def dataset(cfg: Config, split: str, root: Path) -> torch.utils.data.Dataset:
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return DATASETS.build({**cfg[f"{split}_dataloader"].dataset, "data_root": str(root)})


def theirs() -> Config:
    return upstream("mmseg", "mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512.py")


def test_heads_pipelines_and_test_mode_are_upstreams() -> None:
    """mmseg's MAE recipe is BEiT's; only the backbone's and the pyramid's classes are ours."""
    ours, other = load(FULL), theirs()
    for head in ("decode_head", "auxiliary_head"):
        assert ours.model[head] == other.model[head]
    assert ours.model.test_cfg == other.model.test_cfg == dict(mode="slide", crop_size=(512, 512), stride=(341, 341))
    assert ours.model.data_preprocessor == other.model.data_preprocessor
    for key in ("drop_path_rate", "patch_size"):
        assert ours.model.backbone[key] == other.model.backbone[key]
    assert tuple(ours.model.backbone.out_indices) == tuple(other.model.backbone.out_indices) == (3, 5, 7, 11)
    for pipeline in ("train_pipeline", "test_pipeline"):
        reader = {"type": "mixedae.LoadPicture", "upright": False}  # stored pixels, where mmcv turns the picture alone
        mine = [{"type": "LoadImageFromFile"} if t == reader else dict(t) for t in ours[pipeline]]
        assert mine == [dict(t) for t in other[pipeline]]
    assert ours.val_evaluator == other.val_evaluator
    assert not ours.model.backbone.final_norm


def test_parameter_count() -> None:
    """163.88 M, mmseg's MAE to the last parameter: relative position tables and LayerScale included.

    Tables: 12 layers x ((2 * 32 - 1)^2 + 3) distances x 12 heads = 571,968; LayerScale: 12 x 2 x 768 = 18,432.
    """
    ours = {name: p.numel() for name, p in build_on_meta(load(FULL)).named_parameters()}
    cfg = theirs()
    cfg.model.pretrained = None
    other = {name: p.numel() for name, p in build_on_meta(cfg, "cpu").named_parameters()}
    extra = {n: c for n, c in other.items() if "relative_position_bias_table" in n or ".gamma_" in n}
    assert sum(extra.values()) == 12 * ((2 * 32 - 1) ** 2 + 3) * 12 + 12 * 2 * 768
    assert round(sum(other.values()) / 1e6, 1) == 163.9
    mine = {n: c for n, c in ours.items() if "relative_position_bias_table" in n or ".gamma" in n}
    assert sum(mine.values()) == sum(extra.values())
    assert sum(ours.values()) == sum(other.values()) == 163_286_828 + sum(extra.values())


def test_layer_decay_and_weight_decay_of_every_parameter() -> None:
    """mmseg's own constructor on its own model gives the same learning rate and decay to each parameter we share."""
    cfg, other = load(FULL), theirs()
    model = build_on_meta(cfg)
    groups = parameter_groups(cfg, model)
    assert groups.keys() == {name for name, _ in model.named_parameters()}
    other.model.pretrained = None
    other.optim_wrapper.constructor = "mmseg.LayerDecayOptimizerConstructor"
    published = parameter_groups(other, build_on_meta(other, "cpu"))
    shared = [name for name in groups if name in published]
    assert len([name for name in shared if name.startswith("backbone.")]) >= 12 * 10
    # mmseg names some parameters otherwise, such as qkv's bias, which it keeps in two parts
    for name in shared:
        assert groups[name] == pytest.approx(published[name], rel=1e-6), name
    for name, (lr, decay) in groups.items():
        if not name.startswith("backbone."):
            assert lr == pytest.approx(1e-4), name
        assert decay == (0.0 if dict(model.named_parameters())[name].ndim == 1 else 0.05), name
    tables = [name for name in shared if name.endswith("relative_position_bias_table")]
    assert len(tables) == 12 and all(groups[name][1] == 0.05 for name in tables)  # two dimensions: decayed there
    assert groups["backbone.pos_embed"] == pytest.approx((1e-4 * 0.65**13, 0.05))  # decayed, as published
    assert groups["backbone.layers.0.attn.qkv.weight"][0] == pytest.approx(1e-4 * 0.65**12)
    assert groups["backbone.layers.11.attn.qkv.weight"][0] == pytest.approx(1e-4 * 0.65)


def test_learning_rate_over_time() -> None:
    """Linear from 1e-6 of the peak over 1,500 iterations, then linear to 0 at 160,000."""
    cfg, scales = load(FULL), (1.0, 0.65**13)
    rates = learning_rates(cfg, scales)
    assert len(rates) == 160_000
    for group, scale in enumerate(scales):
        peak = 1e-4 * scale
        assert rates[0][group] == pytest.approx(1e-6 * peak)
        assert rates[750][group] == pytest.approx(peak / 2, rel=0.01)
        for step in (1500, 80_750, 159_999):
            assert rates[step][group] == pytest.approx(peak * (160_000 - 1 - step) / (160_000 - 1 - 1500), abs=1e-12)


def test_batch_and_precision() -> None:
    cfg = load(FULL)
    assert batch_in_name(FULL) == cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size == 16
    assert cfg.auto_scale_lr.enable and cfg.optim_wrapper.type == "AmpOptimWrapper"
    assert cfg.optim_wrapper.get("loss_scale", "dynamic") == "dynamic" and not cfg.optim_wrapper.get("clip_grad")
    assert cfg.optim_wrapper.optimizer == dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05)
    assert cfg.default_hooks.checkpoint.interval == cfg.train_cfg.val_interval == 16_000
    assert cfg.default_hooks.checkpoint.max_keep_ckpts >= 2 and not cfg.default_hooks.checkpoint.by_epoch


@pytest.mark.parametrize("name", [QUICK, CAMVID])
def test_mini_keeps_the_rules_of_the_parent(name: str) -> None:
    cfg, parent = load(name), load(FULL)
    assert batch_in_name(name) == cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size
    for part in ("backbone", "neck", "decode_head", "auxiliary_head"):
        assert cfg.model[part].type == parent.model[part].type
    for part in ("decode_head", "auxiliary_head"):
        assert cfg.model[part].num_classes == len(cfg.classes)
        loss = {k: v for k, v in cfg.model[part].loss_decode.items() if k != "class_weight"}
        assert loss == parent.model[part].loss_decode
        assert len(cfg.model[part].loss_decode.get("class_weight", cfg.classes)) == len(cfg.classes)
    assert cfg.model.decode_head.pool_scales == parent.model.decode_head.pool_scales
    assert cfg.model.test_cfg == dict(mode="slide", crop_size=(128, 128), stride=(85, 85))
    assert cfg.optim_wrapper.paramwise_cfg.no_decay == parent.optim_wrapper.paramwise_cfg.no_decay == ()
    rates = [r[0] for r in learning_rates(cfg, (1.0,), epoch_length=10)]
    assert max(rates) == pytest.approx(cfg.optim_wrapper.optimizer.lr) and rates[-1] < 0.05 * max(rates)


def test_pyramid_keeps_the_strides_of_the_full_size_model() -> None:
    for name in (FULL, QUICK, CAMVID):
        cfg = load(name)
        rescales = cfg.model.neck.get("rescales", (4, 2, 1, 0.5))
        assert [cfg.model.backbone.patch_size / f for f in rescales] == [4, 8, 16, 32]


def labels_of(data: torch.utils.data.Dataset, i: int) -> np.ndarray:
    return data[i]["data_samples"].gt_sem_seg.data.numpy()


def test_mini_reads_the_mini_benchmark(mini_data: Path) -> None:
    """Mask 0 becomes 255 (ignored), background 0, the ten classes 1 to 10."""
    cfg = load(QUICK)
    assert cfg.classes == ("background", *CLASSES)
    train, val = (dataset(cfg, split, mini_data / "ade20k") for split in ("train", "val"))
    seen: set[int] = set()
    for i in range(len(val)):
        labels = labels_of(val, i)
        with Image.open(val.get_data_info(i)["seg_map_path"]) as mask:
            raw = np.asarray(mask)
        np.testing.assert_array_equal(labels[0], np.where(raw == 0, 255, raw.astype(int) - 1))
        seen |= set(np.unique(labels))
    assert seen <= {255, *range(11)} and 0 in seen and len(seen) > 5
    assert train[0]["inputs"].shape == (3, 128, 128) and labels_of(train, 0).shape == (1, 128, 128)


def test_camvid_labels_and_sizes(sample_data: Path) -> None:
    """Void becomes 255, the classes 0 to 10 in the order of classes.txt; the truth keeps its size in testing."""
    cfg, root = load(CAMVID), sample_data / "camvid"
    lines = [line.split("\t") for line in (root / "classes.txt").read_text().splitlines()]
    assert tuple(name for number, name in lines if number != "0") == cfg.classes
    sizes = [len(dataset(cfg, split, root)) for split in ("train", "val", "test")]
    assert sizes == [367, 101, 233]
    train, val = dataset(cfg, "train", root), dataset(cfg, "val", root)
    seen: set[int] = set()
    for i in range(0, len(val), 10):
        assert val[i]["inputs"].shape == (3, 192, 256)  # whole patches of 8
        assert labels_of(val, i).shape == (1, 360, 480)
        seen |= set(np.unique(labels_of(val, i)))
    assert seen <= {255, *range(11)} and len(seen) > 8
    assert train[0]["inputs"].shape == (3, 128, 128)


def test_true_ade20k_files_through_the_full_size_pipelines(sample_data: Path) -> None:
    """150 classes as 0 to 149, 255 for "other"; short side 512 in testing."""
    cfg = load(FULL)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        from mmengine.registry import TRANSFORMS

        train = [TRANSFORMS.build(t) for t in cfg.train_pipeline]
        test = [TRANSFORMS.build(t) for t in cfg.test_pipeline]
    images = sorted((sample_data / "ade20k_sample").rglob("images/**/*.jpg"))
    masks = sorted((sample_data / "ade20k_sample").rglob("annotations/**/*.png"))
    assert len(images) == len(masks) == 3
    for image, mask in zip(images, masks, strict=True):
        for pipeline in (train, test):
            data = dict(
                img_path=str(image), seg_map_path=str(mask), reduce_zero_label=True, label_map=None, seg_fields=[]
            )
            for transform in pipeline:
                data = transform(data)
            labels = data["data_samples"].gt_sem_seg.data
            assert set(labels.unique().tolist()) <= {255, *range(150)}
            if pipeline is train:
                assert data["inputs"].shape[1] <= 512 and data["inputs"].shape[2] <= 512
            else:
                assert min(data["inputs"].shape[1:]) == 512
                with Image.open(mask) as truth:
                    assert labels.shape[1:] == (truth.height, truth.width)


def test_dataset_knows_150_classes() -> None:
    from mmseg.datasets import ADE20KDataset

    cfg = load(FULL)
    assert len(ADE20KDataset.METAINFO["classes"]) == cfg.model.decode_head.num_classes == 150
    assert find(cfg.train_pipeline, "LoadAnnotations").reduce_zero_label


def test_the_backbone_adds_what_the_published_recipe_adds() -> None:
    ours, other = load(FULL).model.backbone, theirs().model.backbone
    assert ours.relative_position == "table" and ours.layer_scale_init_value == other.init_values == 1.0
    assert tuple(ours.img_size) == tuple(other.img_size) == (512, 512)
    for name in (QUICK, CAMVID):
        assert "relative_position" not in load(name).model.backbone


def test_several_scales_and_flips() -> None:
    """unilm's multi-scale test: ratios 0.5 to 1.75, no short side below the crop, each picture also mirrored."""
    cfg = load(FULL)
    sizes, flips, (annotations,), (pack,) = cfg.tta_pipeline[1].transforms
    assert [step.scale for step in sizes] == [512, 512, 512, 640, 768, 896]
    assert [step.prob for step in flips] == [0.0, 1.0] and cfg.tta_model.type == "SegTTAModel"
    assert annotations.reduce_zero_label and pack.type == "PackSegInputs"


def test_every_point_of_the_ade20k_grid_reaches_the_layers() -> None:
    """The same 15 pairs for every model: MAE's authors searched the learning rate for each entry."""
    search = load_suite(BENCHMARK / "suites" / "ade20k_grid.yaml").search
    model, found = build_on_meta(load(FULL)), set()
    for options in search.points.values():
        cfg = Config(load(FULL).to_dict())
        cfg.merge_from_dict(options)
        lr, decay = options.values()
        groups = parameter_groups(cfg, model)
        for name, depth in (
            ("patch_embed.projection.weight", 0),
            *((f"layers.{i}.attn.qkv.weight", i + 1) for i in range(12)),
        ):
            assert groups[f"backbone.{name}"][0] == pytest.approx(lr * decay ** (13 - depth)), (lr, decay, name)
        assert groups["decode_head.conv_seg.weight"][0] == pytest.approx(lr)
        cfg.optim_wrapper = load(FULL).optim_wrapper
        assert cfg.to_dict() == load(FULL).to_dict()  # nothing else changes
        found.add((lr, decay))
    assert found == {(lr, decay) for lr in (5e-5, 8e-5, 1e-4, 2e-4, 4e-4) for decay in (0.65, 0.75, 0.8)}


@pytest.mark.train
def test_two_steps_on_photographs(sample_data: Path, tmp_path: Path) -> None:
    metrics = train_two_steps(load(CAMVID), tmp_path, sample_data / "camvid")
    assert 0 <= metrics["mIoU"] <= 100
