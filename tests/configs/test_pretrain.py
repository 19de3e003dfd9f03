"""Full-size pre-training recipes: what they build, number by number."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

import mixedae.registry  # noqa: F401
from mixedae.files import ROOT
from mixedae.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS

CONFIGS = ROOT / "mm_configs" / "pretrain"
EPOCHS = (300, 800, 1600)


def load(method: str, epochs: int) -> Config:
    return Config.fromfile(CONFIGS / f"{method}_vit-base-p16_8xb512-amp-coslr-{epochs}e_in1k.py")


@pytest.mark.parametrize("epochs", EPOCHS)
@pytest.mark.parametrize(("method", "base_lr"), [("mae", 1.5e-4), ("mixedae", 7.5e-5)])
def test_recipe(method, base_lr, epochs):
    """Batch 4096, lr = base_lr * 4096 / 256, 40 epochs of warm-up, cosine to zero (MAE PRETRAIN.md; section 4.1)."""
    config = load(method, epochs)
    loader, optimizer = config.train_dataloader, config.optim_wrapper.optimizer
    assert 8 * loader.batch_size == config.auto_scale_lr.base_batch_size == 4096
    assert config.auto_scale_lr.enable
    assert optimizer.lr == pytest.approx(base_lr * 4096 / 256)
    assert (optimizer.type, tuple(optimizer.betas), optimizer.weight_decay) == ("AdamW", (0.9, 0.95), 0.05)
    assert config.optim_wrapper.type == "AmpOptimWrapper"
    assert loader.drop_last
    assert config.train_cfg.max_epochs == epochs
    warmup, cosine = config.param_scheduler
    assert (warmup.begin, warmup.end, cosine.begin, cosine.end) == (0, 40, 40, epochs)
    assert cosine.get("T_max") is None  # mmengine takes end - begin
    assert cosine.get("eta_min", 0) == 0
    assert warmup.convert_to_iter_based
    assert cosine.convert_to_iter_based
    crop = loader.dataset.pipeline[0]
    assert (crop.type, crop.scale, tuple(crop.crop_ratio_range), crop.flip_prob) == (
        "mixedae.LoadRandomResizedCrop",
        224,
        (0.2, 1.0),
        0.5,
    )


@pytest.mark.parametrize("epochs", EPOCHS)
def test_mae_and_mixedae_differ_in_the_method_and_the_base_learning_rate_only(epochs):
    mae, mixed = load("mae", epochs).to_dict(), load("mixedae", epochs).to_dict()
    model, other = mae.pop("model"), mixed.pop("model")
    assert (mae.pop("base_lr"), mixed.pop("base_lr")) == (1.5e-4, 7.5e-5)
    assert mae["optim_wrapper"]["optimizer"].pop("lr") == 2 * mixed["optim_wrapper"]["optimizer"].pop("lr")
    assert mixed.pop("custom_hooks") == [*mae.pop("custom_hooks"), dict(type="mixedae.RecognitionHook")]
    assert mae == mixed
    assert model["neck"] == other["neck"]
    assert model["data_preprocessor"] == other["data_preprocessor"]


def build_on_meta(config: Config) -> torch.nn.Module:
    init_default_scope("mmpretrain")
    with torch.device("meta"):
        return MODELS.build(config.model)


def test_the_papers_model():
    """Section 4.1: r = 0.25, K = 0.25 L = 49 in all but the first layer, projector 128, tau 0.25, lambda 0.1."""
    model = build_on_meta(load("mixedae", 300))
    assert (model.group_size, model.mode) == (4, "compose")
    assert (model.backbone.topk, model.backbone.num_patches, model.backbone.num_global_layers) == (49, 196, 1)
    assert model.backbone.attention == "homologous"
    assert model.head.projector.weight.shape == (128, 768)
    assert (model.head.contrastive_loss.temperature, model.head.contrastive_weight) == (0.25, 0.1)
    assert (model.head.contrastive_loss.positives, model.head.contrast) == ("separate", "post-norm")
    assert len(model.neck.decoder_blocks) == 8
    assert model.neck.decoder_embed.weight.shape == (512, 768)


def test_parameter_counts():
    """MAE's 111.91 M (mmpretrain configs/mae); MixedAE adds the projector and the segments, nothing else."""
    mae, mixed = (build_on_meta(load(m, 300)) for m in ("mae", "mixedae"))
    counts = [sum(p.numel() for p in m.parameters()) for m in (mae, mixed)]
    assert round(counts[0] / 1e6, 2) == 111.91
    assert counts[1] - counts[0] == (768 * 128 + 128) + 4 * 768
    assert set(mae.state_dict()) < set(mixed.state_dict())


@pytest.mark.parametrize("method", ["mae", "mixedae"])
def test_weight_decay_is_official_maes(method):
    """timm's add_weight_decay: 1-D parameters and biases are exempt, [CLS], [MASK] and segments are not."""
    config = load(method, 300)
    model = build_on_meta(config)
    wrapper_cfg = {k: v for k, v in config.optim_wrapper.items() if k not in ("constructor", "paramwise_cfg")}
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type=config.optim_wrapper.constructor,
            optim_wrapper_cfg={**wrapper_cfg, "type": "OptimWrapper"},
            paramwise_cfg=config.optim_wrapper.paramwise_cfg,
        )
    )
    names = {id(p): n for n, p in model.named_parameters()}
    decay = {names[id(p)]: g for g in constructor(model).optimizer.param_groups for p in g["params"]}
    assert set(decay) == {n for n, p in model.named_parameters() if p.requires_grad}
    for name, p in model.named_parameters():
        if p.requires_grad:
            exempt = p.ndim == 1 or name.endswith(".bias")
            assert decay[name]["weight_decay"] == (0 if exempt else 0.05), name
            assert decay[name]["lr"] == config.optim_wrapper.optimizer.lr
    assert decay["backbone.cls_token"]["weight_decay"] == decay["neck.mask_token"]["weight_decay"] == 0.05
