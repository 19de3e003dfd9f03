"""Every row of the ablation and tuning suites: what it changes of its base, key by key, and that it trains."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

import mixedae.registry  # noqa: F401
from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.suites import BENCHMARK, Suite, load_suite
from mixedae.engine.preflight.keys import check_known_keys
from mixedae.files import ROOT
from mixedae.registry import MODELS

from .recipe import build_on_meta

PRETRAIN = ROOT / "mm_configs" / "pretrain"
SIZES = sorted([*PRETRAIN.glob("mae_*-300e_in1k.py"), *PRETRAIN.glob("mixedae*-300e_in1k.py")])
MIXEDAE = PRETRAIN / "ablation" / "mixedae.py"
MAE = PRETRAIN / "mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py"
MINI = {
    name: ROOT / f"mm_configs/mini/pretrain/{name}_vit-mini-p8_1xb64-coslr-15e_mini.py" for name in ("mae", "mixedae")
}
BASES = {"ablation": MIXEDAE, "ablation_open": MIXEDAE, "ablation_mae": MAE, "mini_ablation": MINI["mixedae"]}
PLAIN = {"model.backbone.attention": "plain"}
OFF = {"model.head.contrastive_weight": 0.0}
MINI_LR = {
    base_lr: {"base_lr": base_lr, "optim_wrapper.optimizer.lr": base_lr * 64 / 256} for base_lr in (2e-3, 8e-3, 16e-3)
}
CHANGES: dict[str, dict[str, Any]] = {
    # Table 3: the twelve pre-trainings of the paper; 3e "1st" and 3f "both" are the base itself
    "ablation/neither": {**PLAIN, **OFF},
    "ablation/neither_r50": {**PLAIN, **OFF, "model.group_size": 2},
    "ablation/contrast": PLAIN,
    "ablation/contrast_pre": {**PLAIN, "model.head.contrast": "pre-norm"},
    "ablation/contrast_mean": {**PLAIN, "model.head.positives": "mean"},
    "ablation/topk": OFF,
    "ablation/every_k125": {"model.backbone.topk_ratio": 0.125, "model.backbone.num_global_layers": 0},
    "ablation/every_k25": {"model.backbone.num_global_layers": 0},
    "ablation/every_k50": {"model.backbone.topk_ratio": 0.5, "model.backbone.num_global_layers": 0},
    "ablation/both": {},
    "ablation/global2": {"model.backbone.num_global_layers": 2},
    "ablation/global3": {"model.backbone.num_global_layers": 3},
    # beyond
    "ablation_open/both": {},
    "ablation_open/no_reconstruction": {"model.reconstruction": False, "model.neck": None},
    "ablation_open/lambda_001": {"model.head.contrastive_weight": 0.01},
    "ablation_open/lambda_003": {"model.head.contrastive_weight": 0.03},
    "ablation_open/lambda_03": {"model.head.contrastive_weight": 0.3},
    "ablation_open/lambda_10": {"model.head.contrastive_weight": 1.0},
    "ablation_open/r50": {"model.group_size": 2, "model.backbone.topk_ratio": 0.5},
    "ablation_open/r125": {"model.group_size": 8, "model.backbone.topk_ratio": 0.125},
    "ablation_open/unequal": {"model.shares": (0.4, 0.3, 0.2, 0.1)},
    "ablation_open/oracle": {**OFF, "model.backbone.attention": "oracle"},
    "ablation_open/cls_out": {"model.backbone.cls_in_pool": False},
    "ablation_open/cls_plain": {"model.backbone.cls_query": "plain"},
    "ablation_open/cls_mask": {"model.neck.unmixed_cls": "mask"},
    "ablation_open/segments_fixed": {"model.segment_embedding": "fixed"},
    "ablation_open/segments_none": {"model.segment_embedding": "none"},
    "ablation_open/pixels": {"model.head.norm_pix": False},
    "ablation_open/jitter": {},
    # MAE's own
    "ablation_mae/mae": {},
    **{f"ablation_mae/mask_{r}0": {"model.mask_ratio": r / 10} for r in range(1, 10)},
    "ablation_mae/block_50": {"model.masking": "block", "model.mask_ratio": 0.5},
    "ablation_mae/block_75": {"model.masking": "block"},
    "ablation_mae/grid_75": {"model.masking": "grid"},
    **{f"ablation_mae/depth_{d}": {"model.neck.decoder_depth": d} for d in (1, 2, 4, 12)},
    **{f"ablation_mae/width_{w}": {"model.neck.decoder_embed_dim": w} for w in (128, 256, 768, 1024)},
    "ablation_mae/pixels": {"model.head.norm_pix": False},
    "ablation_mae/jitter": {},
    # on the mini benchmark: Table 3f, and the tuning, whose second learning rate is the base itself
    "mini_ablation/neither": {**PLAIN, **OFF},
    "mini_ablation/topk": OFF,
    "mini_ablation/contrast": PLAIN,
    "mini_ablation/both": {},
    "mini_ablation/oracle": {**OFF, "model.backbone.attention": "oracle"},
    **{
        f"mini_tuning/{method}_{row}": changes
        for method in ("mae", "mixedae")
        for row, changes in {
            "lr5e4": MINI_LR[2e-3],
            "lr1e3": {},
            "lr2e3": MINI_LR[8e-3],
            "lr4e3": MINI_LR[16e-3],
        }.items()
    },
    "mini_tuning/mae_mask50": {**MINI_LR[8e-3], "model.mask_ratio": 0.5},
    "mini_tuning/mixedae_nosegment": {**MINI_LR[8e-3], "model.segment_embedding": "none"},
}
OTHERS = {  # rows of these suites that are recipes of their own
    "ablation_open/lr_half",
    "ablation_open/full",
    "ablation_open/full_light",
    "mini_ablation/mae",
    "mini_tuning/random",
}
SAME = {"ablation_open/both", "ablation_mae/mae"}  # as ablation/both and a leaf of pretrain/
TRAINED = [name for name in CHANGES if name.startswith("ablation") and name not in SAME]


def flat(tree: dict, prefix: str = "") -> dict[str, Any]:
    """A nested dict as dotted keys."""
    items: dict[str, Any] = {}
    for key, value in tree.items():
        items.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return items


@cache
def suite(name: str) -> Suite:
    return load_suite(BENCHMARK / "suites" / f"{name}.yaml")


@cache
def load(path: Path) -> Config:
    return Config.fromfile(path)


def row(name: str) -> Config:
    """The config that a row of a suite trains, a copy."""
    suite_name, pretraining = name.split("/")
    variant = suite(suite_name).variant_of(Cell(pretraining, None, 0), None)
    return variant.merge(load(ROOT / variant.config), ROOT / variant.config)[0]


def base_of(name: str) -> Config:
    suite_name, pretraining = name.split("/")
    return load(BASES.get(suite_name) or MINI[pretraining.split("_")[0]])


def test_every_row_is_listed_here():
    rows = {f"{name}/{row}" for name in (*BASES, "mini_tuning") for row in suite(name).pretrainings}
    assert rows == {*CHANGES, *OTHERS}


def test_every_ablation_leaf_belongs_to_a_suite():
    named = {ROOT / str(p.config) for name in BASES for p in suite(name).pretrainings.values()}
    assert set((PRETRAIN / "ablation").glob("*.py")) <= named


def test_table_3_has_twelve_pretrainings():
    rows = suite("ablation").pretrainings.values()
    assert len({(p.config, tuple(p.options.items())) for p in rows}) == len(rows) == 12


def test_ablations_run_at_mae_s_base_learning_rate():
    """Section 4.4: 1.5e-4 for all of them, on MixedAE in compose mode, 300 epochs."""
    ablation = load(MIXEDAE)
    recipe = load(PRETRAIN / "mixedae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py")
    assert ablation.optim_wrapper.optimizer.lr == pytest.approx(1.5e-4 * 4096 / 256)
    ours, theirs = flat(ablation.to_dict()), flat(recipe.to_dict())
    assert {k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k)} == {
        "base_lr",
        "optim_wrapper.optimizer.lr",
    }
    assert ablation.model.mode == "compose"
    assert ablation.train_cfg.max_epochs == 300


@pytest.mark.parametrize("name", CHANGES)
def test_a_row_changes_what_its_title_says_and_nothing_else(name):
    config, base = row(name).to_dict(), base_of(name).to_dict()
    if name.endswith("/jitter"):  # mmpretrain's own steps of the same crop and flip, and the jitter
        steps = config.pop("jitter_pipeline")
        assert [step["type"] for step in steps][3] == "ColorJitter"
        assert config["train_dataloader"]["dataset"].pop("pipeline") == steps
        (fused, pack) = base["train_dataloader"]["dataset"].pop("pipeline")
        assert (steps[1]["scale"], steps[1]["crop_ratio_range"]) == (fused["scale"], fused["crop_ratio_range"])
        assert (steps[2]["prob"], steps[4]) == (fused["flip_prob"], pack)
    ours, theirs = flat(config), flat(base)
    if "model.neck" in ours:  # None in the place of the decoder
        theirs = {k: v for k, v in theirs.items() if not k.startswith("model.neck.")}
    assert {k: v for k, v in ours.items() if k not in theirs or theirs[k] != v} == CHANGES[name]
    assert set(theirs) <= set(ours)


@pytest.mark.parametrize("name", CHANGES)
def test_the_classes_accept_every_key(name):
    check_known_keys(row(name))


def tiny(config: Config, data_root: Path) -> Config:
    """A recipe at L = 16: a narrow encoder and decoder; depth, switches and pipeline stay the recipe's."""
    patch = config.model.backbone.get("patch_size", 16)
    arch = dict(embed_dims=32, num_layers=4, num_heads=4, feedforward_channels=64)
    config.model.backbone.update(arch=arch, img_size=4 * patch)
    config.model.head.update(embed_dims=32)
    if config.model.neck is not None:
        config.model.neck.update(num_patches=16, embed_dim=32, decoder_embed_dim=32, decoder_num_heads=4)
    pipeline = config.train_dataloader.dataset.pipeline
    next(step for step in pipeline if "scale" in step).scale = 4 * patch
    config.train_dataloader.dataset = dict(
        type="mmpretrain.CustomDataset",
        data_root=str(data_root / "imagenet"),
        data_prefix="pretrain",
        pipeline=pipeline,
    )
    return config


@pytest.mark.train
@pytest.mark.parametrize("name", [*TRAINED, *(path.stem for path in SIZES)])
def test_a_row_takes_two_steps(name, mini_data):
    """Through its own pipeline, preprocessor, optimizer rules and losses; every trainable parameter moves."""
    from mmpretrain.registry import DATASETS

    torch.manual_seed(0)
    config = row(name) if name in CHANGES else Config.fromfile(PRETRAIN / f"{name}.py")
    config = tiny(config, mini_data)
    init_default_scope("mmpretrain")
    dataset = DATASETS.build(config.train_dataloader.dataset)
    batch = default_collate([dataset[i] for i in range(8)])
    model: nn.Module = MODELS.build(config.model)
    model.init_weights()
    optimizer = build_optim_wrapper(model, {**config.optim_wrapper, "type": "OptimWrapper"})  # Amp's asks for a GPU
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    for _ in range(2):
        losses = model.train_step(batch, optimizer)
    reads = {"loss_recon": config.model.neck is not None, "loss_homocon": config.model.head.contrastive_weight > 0}
    assert {k for k in losses if k.startswith("loss_")} == {k for k, there in reads.items() if there}
    assert all(torch.isfinite(loss) for loss in losses.values())
    for name, p in model.named_parameters():
        if name in before:
            assert not torch.equal(p, before[name]), name


@pytest.mark.parametrize(
    ("stem", "encoder_millions", "patches", "topk"),
    [
        ("mixedae_vit-small-p16_8xb512", 21.59, 196, 49),
        ("mixedae_vit-large-p16_8xb512", 303.1, 196, 49),
        ("mixedae_vit-huge-p14_8xb512", 630.4, 256, 64),
        ("mae_vit-small-p16_8xb512", 21.59, 196, None),
        ("mae_vit-large-p16_8xb512", 303.1, 196, None),
        ("mae_vit-huge-p14_8xb512", 630.4, 256, None),
    ],
)
def test_model_sizes(stem, encoder_millions, patches, topk):
    """Trainable encoder parameters, by hand: 12 D^2 + 13 D a layer, P^2 * 3 * D + D, D for [CLS], 2 D for the norm."""
    config = load(PRETRAIN / f"{stem}-amp-coslr-300e_in1k.py")
    model = build_on_meta(config)
    encoder = model.backbone
    d, layers, patch = encoder.embed_dims, encoder.num_layers, config.model.backbone.patch_size
    by_hand = layers * (12 * d**2 + 13 * d) + patch**2 * 3 * d + d + d + 2 * d
    assert sum(p.numel() for p in encoder.parameters() if p.requires_grad) == by_hand
    assert by_hand / 1e6 == pytest.approx(encoder_millions, abs=0.1)
    assert encoder.num_patches == patches
    if topk:
        assert (encoder.topk, encoder.attention) == (topk, "homologous")
    assert model.neck.decoder_embed.weight.shape == (512, d)


@pytest.mark.parametrize(("name", "depth", "width"), [("full", 8, 512), ("full-light", 2, 256)])
def test_full_mode_recipes(name, depth, width):
    """Section 4.1: batch 1024 for the full mode, base learning rate 7.5e-5; Full* has 2 layers of width 256."""
    config = load(PRETRAIN / f"mixedae-{name}_vit-base-p16_8xb128-amp-coslr-300e_in1k.py")
    assert 8 * config.train_dataloader.batch_size == config.auto_scale_lr.base_batch_size == 1024
    assert config.optim_wrapper.optimizer.lr == pytest.approx(7.5e-5 * 1024 / 256)
    assert (config.model.mode, config.model.group_size) == ("full", 4)
    assert (config.model.neck.decoder_depth, config.model.neck.decoder_embed_dim) == (depth, width)
    compose = load(PRETRAIN / "mixedae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py")
    assert config.param_scheduler == compose.param_scheduler
