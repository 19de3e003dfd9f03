"""Every ablation leaf: what it changes against its parent, number by number, and that it trains."""

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
from mixedae.benchmark.plan.suites import BENCHMARK, load_suite
from mixedae.files import ROOT
from mixedae.registry import MODELS

from .recipe import build_on_meta

PRETRAIN = ROOT / "mm_configs" / "pretrain"
LEAVES = sorted((PRETRAIN / "ablation").glob("*.py"))
SIZES = sorted(PRETRAIN.glob("*-300e_in1k.py"))
PLAIN = {"backbone.attention": "plain"}
OFF = {"head.contrastive_weight": 0.0}
MODEL_CHANGES: dict[str, dict[str, Any]] = {
    # Table 3, with mixedae.py (3e "1st", 3f "both"): the twelve pre-trainings of the paper
    "mixedae_plain_no-contrast": {**PLAIN, **OFF},
    "mixedae_plain_no-contrast_r-0.5": {**PLAIN, **OFF, "group_size": 2},
    "mixedae_plain": PLAIN,
    "mixedae_plain_pre-norm": {**PLAIN, "head.contrast": "pre-norm"},
    "mixedae_plain_mean-positive": {**PLAIN, "head.positives": "mean"},
    "mixedae_every-layer_k-0.125": {"backbone.topk_ratio": 0.125, "backbone.num_global_layers": 0},
    "mixedae_every-layer_k-0.25": {"backbone.num_global_layers": 0},
    "mixedae_every-layer_k-0.5": {"backbone.topk_ratio": 0.5, "backbone.num_global_layers": 0},
    "mixedae_global-2": {"backbone.num_global_layers": 2},
    "mixedae_global-3": {"backbone.num_global_layers": 3},
    "mixedae_no-contrast": OFF,
    # beyond
    "mixedae_no-reconstruction": {"reconstruction": False, "neck": None},
    "mixedae_lambda-0.01": {"head.contrastive_weight": 0.01},
    "mixedae_lambda-0.03": {"head.contrastive_weight": 0.03},
    "mixedae_lambda-0.3": {"head.contrastive_weight": 0.3},
    "mixedae_lambda-1": {"head.contrastive_weight": 1.0},
    "mixedae_r-0.5": {"group_size": 2, "backbone.topk_ratio": 0.5},
    "mixedae_r-0.125": {"group_size": 8, "backbone.topk_ratio": 0.125},
    "mixedae_unequal-shares": {"shares": (0.4, 0.3, 0.2, 0.1)},
    "mixedae_oracle": {**OFF, "backbone.attention": "oracle"},
    "mixedae_cls-out-of-pool": {"backbone.cls_in_pool": False},
    "mixedae_cls-query-plain": {"backbone.cls_query": "plain"},
    "mixedae_unmixed-cls-mask": {"neck.unmixed_cls": "mask"},
    "mixedae_segments-fixed": {"segment_embedding": "fixed"},
    "mixedae_segments-none": {"segment_embedding": "none"},
    "mixedae_pixels": {"head.norm_pix": False},
    "mixedae_color-jitter": {},
    # MAE's own
    **{f"mae_mask-{r / 10}": {"mask_ratio": r / 10} for r in range(1, 10)},
    "mae_block-0.5": {"masking": "block", "mask_ratio": 0.5},
    "mae_block-0.75": {"masking": "block"},
    "mae_grid-0.75": {"masking": "grid"},
    **{f"mae_decoder-depth-{d}": {"neck.decoder_depth": d} for d in (1, 2, 4, 12)},
    **{f"mae_decoder-width-{w}": {"neck.decoder_embed_dim": w} for w in (128, 256, 768, 1024)},
    "mae_pixels": {"head.norm_pix": False},
    "mae_color-jitter": {},
}


def flat(tree: dict, prefix: str = "") -> dict[str, Any]:
    """A nested dict as dotted keys."""
    items: dict[str, Any] = {}
    for key, value in tree.items():
        items.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return items


def load(path: Path) -> Config:
    return Config.fromfile(path)


def parent_of(name: str) -> Config:
    if name.startswith("mae_"):
        return load(PRETRAIN / "mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py")
    return load(PRETRAIN / "ablation" / "mixedae.py")


def test_every_leaf_is_listed_here():
    assert {path.stem for path in LEAVES} == {"mixedae", *MODEL_CHANGES}


def test_every_leaf_belongs_to_a_suite():
    suites = [load_suite(path) for path in (BENCHMARK / "suites").glob("ablation*.yaml")]
    named = {BENCHMARK.parents[1] / p.config for suite in suites for p in suite.pretrainings.values()}
    assert set(LEAVES) <= named
    table_3 = load_suite(BENCHMARK / "suites" / "ablation.yaml")
    assert len({p.config for p in table_3.pretrainings.values()}) == 12


def test_ablations_run_at_mae_s_base_learning_rate():
    """Section 4.4: 1.5e-4 for all of them, on MixedAE in compose mode, 300 epochs."""
    ablation = load(PRETRAIN / "ablation" / "mixedae.py")
    recipe = load(PRETRAIN / "mixedae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py")
    assert ablation.optim_wrapper.optimizer.lr == pytest.approx(1.5e-4 * 4096 / 256)
    ablation.optim_wrapper.optimizer.lr, ablation.base_lr = recipe.optim_wrapper.optimizer.lr, recipe.base_lr
    assert ablation.to_dict() == recipe.to_dict()
    assert ablation.model.mode == "compose"
    assert ablation.train_cfg.max_epochs == 300


@pytest.mark.parametrize("name", MODEL_CHANGES)
def test_a_leaf_changes_what_its_name_says_and_nothing_else(name):
    leaf, parent = load(PRETRAIN / "ablation" / f"{name}.py").to_dict(), parent_of(name).to_dict()
    ours, theirs = flat(leaf.pop("model")), flat(parent.pop("model"))
    if "neck" in ours:  # None in the place of the decoder
        theirs = {k: v for k, v in theirs.items() if not k.startswith("neck.")}
    assert {k: v for k, v in ours.items() if k not in theirs or theirs[k] != v} == MODEL_CHANGES[name]
    assert set(theirs) <= set(ours)
    if name.endswith("color-jitter"):  # mmpretrain's own steps of the same crop and flip, and the jitter
        steps = leaf.pop("jitter_pipeline")
        assert [step["type"] for step in steps][3] == "ColorJitter"
        assert leaf["train_dataloader"]["dataset"].pop("pipeline") == steps
        (fused, pack) = parent["train_dataloader"]["dataset"].pop("pipeline")
        assert (steps[1]["scale"], steps[1]["crop_ratio_range"]) == (fused["scale"], fused["crop_ratio_range"])
        assert (steps[2]["prob"], steps[4]) == (fused["flip_prob"], pack)
    assert leaf == parent


def tiny(config: Config, data_root: Path) -> Config:
    """The leaf at L = 16: a narrow encoder and decoder; depth, switches and pipeline stay the leaf's."""
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
@pytest.mark.parametrize("path", [*LEAVES, *SIZES], ids=lambda path: path.stem)
def test_a_leaf_takes_two_steps(path, mini_data):
    """Through its own pipeline, preprocessor, optimizer rules and losses; every trainable parameter moves."""
    from mmpretrain.registry import DATASETS

    torch.manual_seed(0)
    config = tiny(load(path), mini_data)
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
