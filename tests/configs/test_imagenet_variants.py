"""ImageNet beyond ViT-B fine-tuning: larger models, linear probing, partial fine-tuning, k-NN, few labels."""

import math

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mixedae.errors import LayerDecayError
from mixedae.registry import LOOPS
from tests.configs.recipe import batch_in_name, build_on_meta, learning_rates, load, parameter_groups

BASE = "classification/mixedae-vit-base-p16_8xb128-amp-coslr-100e_in1k"
LARGE = "classification/mixedae-vit-large-p16_8xb128-amp-coslr-50e_in1k"
HUGE = "classification/mixedae-vit-huge-p14_8xb128-amp-coslr-50e_in1k"
LINEAR = "classification/mixedae-vit-base-p16_8xb2048-amp-linear-coslr-90e_in1k"
PARTIAL = "classification/mixedae-vit-base-p16_8xb128-amp-coslr-100e-partial_in1k"
KNN = "classification/mixedae-vit-base-p16_knn_in1k"
FEW = {percent: f"classification/mixedae-vit-base-p16_8xb128-amp-coslr-100e_in1k-{percent}pct" for percent in (1, 10)}


@pytest.mark.parametrize(
    ("name", "depth", "drop_path", "parameters"),
    # timm's vit_large_patch16_224 and vit_huge_patch14_224 without their classifiers: 303.30 M, 630.76 M
    [(LARGE, 24, 0.2, 304_326_632), (HUGE, 32, 0.3, 632_045_800)],
)
def test_large_and_huge_are_finetune_mds(name: str, depth: int, drop_path: float, parameters: int) -> None:
    cfg = load(name)
    model = build_on_meta(cfg)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert cfg.model.backbone.drop_path_rate == drop_path and cfg.train_cfg.max_epochs == 50
    groups = parameter_groups(cfg, model)
    peak = 1e-3 * 1024 / 256
    for name_, parameter in model.named_parameters():
        if name_.startswith("backbone.layers."):
            below = depth - int(name_.split(".")[2])
        else:
            below = depth + 1 if name_.startswith(("backbone.patch", "backbone.cls", "backbone.pos")) else 0
        spared = parameter.ndim == 1 or name_ in ("backbone.cls_token", "backbone.pos_embed")
        assert groups[name_] == pytest.approx((peak * 0.75**below, 0.0 if spared else 0.05)), name_
    scales = (1.0, 0.75 ** (depth + 1))
    for group, scale in zip(zip(*learning_rates(cfg, scales, 10), strict=True), scales, strict=True):
        top, floor = peak * scale, 1e-6 * scale
        assert group[50] == max(group) == pytest.approx(top)
        assert group[275] == pytest.approx(floor + (top - floor) / 2)
        cosine = (1 + math.cos(math.pi * 449 / 450)) / 2
        assert group[-1] == pytest.approx(floor + (top - floor) * cosine)
    assert batch_in_name(name) == cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size


def test_linear_probing_is_maes() -> None:
    cfg = load(LINEAR)
    model = build_on_meta(cfg)
    learn = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learn == {"head.fc.weight", "head.fc.bias"}
    norm = model.neck.bn
    assert not norm.affine and norm.eps == 1e-6 and norm.track_running_stats
    assert cfg.model.backbone.out_type == "cls_token" and cfg.model.backbone.drop_path_rate == 0.0
    assert (cfg.model.head.loss.type, cfg.model.head.init_cfg.std) == ("CrossEntropyLoss", 0.01)
    assert not cfg.model.get("train_cfg")
    assert cfg.optim_wrapper.optimizer == dict(type="mixedae.LARS", lr=6.4, momentum=0.9, weight_decay=0.0)
    assert [t.type for t in cfg.train_pipeline] == [
        "mixedae.LoadPicture",
        "RandomResizedCrop",
        "RandomFlip",
        "PackInputs",
    ]
    assert cfg.train_dataloader.dataset.pipeline == cfg.train_pipeline
    assert batch_in_name(LINEAR) == cfg.auto_scale_lr.base_batch_size == 16384
    rates = [r[0] for r in learning_rates(cfg, (1.0,), 10)]
    assert rates[100] == max(rates) == pytest.approx(6.4) and rates[500] == pytest.approx(3.2)
    assert 0 <= rates[-1] < 0.001 and len(rates) == 900


def test_linear_probing_builds_maes_lars() -> None:
    from mmengine.optim import build_optim_wrapper

    from mixedae.engine.lars import LARS

    cfg = load(LINEAR)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        wrapper = build_optim_wrapper(build_on_meta(cfg), {**cfg.optim_wrapper, "type": "OptimWrapper"})
    assert isinstance(wrapper.optimizer, LARS)
    assert {group["trust_coefficient"] for group in wrapper.optimizer.param_groups} == {0.001}


@pytest.mark.parametrize("blocks", [0.5, 1, 2, 4, 6, 9, 12])
def test_partial_fine_tuning(blocks: float) -> None:
    """Every point of the series builds its groups; the lowest trainable layer has the lowest rate."""
    cfg = load(PARTIAL)
    parent = load(BASE)
    assert {**cfg.model.backbone, "trainable_blocks": None} == {**parent.model.backbone, "trainable_blocks": None}
    cfg = Config(cfg.to_dict())
    cfg.model.backbone.trainable_blocks = blocks
    groups = parameter_groups(cfg, build_on_meta(cfg))
    inside = {int(n.split(".")[2]) for n in groups if n.startswith("backbone.layers.")}
    assert inside == set(range(12 - math.ceil(blocks), 12))
    assert min(lr for lr, _ in groups.values()) == pytest.approx(2e-3 * 0.65 ** math.ceil(blocks))
    assert not {"backbone.pos_embed", "backbone.cls_token", "backbone.patch_embed.projection.weight"} & groups.keys()
    assert {"head.fc.weight", "backbone.ln2.weight"} <= groups.keys()


def test_no_block_at_all_is_a_linear_probe() -> None:
    """The series' first point: there is nothing to decay over the layers, and the recipe says so."""
    cfg = Config(load(PARTIAL).to_dict())
    cfg.model.backbone.trainable_blocks = 0
    with pytest.raises(LayerDecayError, match="set layer_decay_rate=1"):
        parameter_groups(cfg, build_on_meta(cfg))
    cfg.optim_wrapper.paramwise_cfg.layer_decay_rate = 1.0
    assert parameter_groups(cfg, build_on_meta(cfg)).keys() == {"head.fc.weight", "head.fc.bias"}


def test_knn() -> None:
    cfg = load(KNN)
    assert tuple(cfg.train_cfg.ks) == (10, 20, 100, 200) and cfg.train_cfg.temperature == 0.07
    assert LOOPS.get(cfg.train_cfg.type).__name__ == "KNNProbeLoop" and cfg.train_cfg.choose is False
    train, val = cfg.train_dataloader, cfg.val_dataloader
    assert train.dataset.pipeline == val.dataset.pipeline and not train.sampler.shuffle and not train.drop_last
    assert cfg.model.backbone.out_type == "raw" and cfg.model.backbone.final_norm


@pytest.mark.parametrize("percent", [1, 10])
def test_few_labels_read_a_list(percent: int) -> None:
    cfg, parent = load(FEW[percent]), load(BASE)
    data = cfg.train_dataloader.dataset
    assert data.ann_file == f"meta/train_{percent}percent.txt" and data.data_prefix == "train" and not data.split
    assert cfg.val_dataloader == parent.val_dataloader and cfg.optim_wrapper == parent.optim_wrapper


@pytest.mark.parametrize("name", [LINEAR, PARTIAL, *FEW.values()])
def test_the_other_recipes_have_the_parameters_of_vit_base(name: str) -> None:
    """A norm before the pooling or after it; the linear probe's BatchNorm has no parameters."""
    assert sum(p.numel() for p in build_on_meta(load(name)).parameters()) == 86_567_656


@pytest.mark.parametrize("name", [LARGE, HUGE, LINEAR, PARTIAL, *FEW.values()])
def test_amp_and_accumulation(name: str) -> None:
    cfg = load(name)
    assert cfg.optim_wrapper.type == "AmpOptimWrapper" and not cfg.optim_wrapper.get("clip_grad")
    assert cfg.auto_scale_lr.enable and cfg.auto_scale_lr.accumulate
