"""The recipes of dense probes, number by number."""

from inspect import signature

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from mixedae.engine.probes.dense import DenseKNNLoop, DenseLogisticLoop
from tests.configs.recipe import build_on_meta, learning_rates, load, parameter_groups

LINEAR = "segmentation/mixedae-vit-base_linear_8xb2-40k_ade20k-512x512"
DENSE = "segmentation/mixedae-vit-base_dense_ade20k-224x224"
CLOTHES = "mini/segmentation/dense_clothes-128x128"


def test_linear_is_dinov3s_recipe() -> None:
    """facebookresearch/dinov3, eval/segmentation/configs/config-ade20k-linear-training.yaml."""
    cfg = load(LINEAR)
    assert cfg.train_dataloader.batch_size * cfg.num_gpus == 16
    assert cfg.train_cfg.max_iters == 40_000 and cfg.train_cfg.val_interval == 5_000
    assert cfg.optim_wrapper.type == "OptimWrapper", "fp32"
    assert cfg.optim_wrapper.optimizer == dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-3)
    assert cfg.optim_wrapper.get("clip_grad") is None
    resize, crop, flip = (
        next(step for step in cfg.train_pipeline if step["type"] == kind)
        for kind in ("RandomResize", "RandomCrop", "RandomFlip")
    )
    assert resize["ratio_range"] == (0.5, 2.0) and resize["scale"][1] == 512
    assert crop["crop_size"] == (512, 512) and flip["prob"] == 0.5
    assert any(step["type"] == "PhotoMetricDistortion" for step in cfg.train_pipeline)
    assert cfg.model.test_cfg == dict(mode="slide", crop_size=(512, 512), stride=(341, 341))
    kinds = [step["type"] for step in cfg.test_pipeline]
    assert kinds.index("LoadAnnotations") > kinds.index("Resize"), "masks are scored at their own size"


def test_linear_trains_the_head_alone() -> None:
    model = build_on_meta(load(LINEAR), "cpu")
    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    assert set(trained) == {
        "decode_head.conv_seg.weight",
        "decode_head.conv_seg.bias",
        "decode_head.norm.weight",
        "decode_head.norm.bias",
    }
    assert sum(trained.values()) == 768 * 150 + 150 + 2 * 768
    groups = parameter_groups(load(LINEAR), model)
    assert {groups[name] for name in trained} == {(1e-3, 1e-3)}


def test_linears_rate_warms_up_and_follows_a_cosine_over_all_iterations() -> None:
    rates = [rate for (rate,) in learning_rates(load(LINEAR), (1.0,))]
    at = torch.arange(40_000, dtype=torch.float64)
    cosine = 1e-3 * (1 + torch.cos(torch.pi * at / 40_000)) / 2
    assert rates[0] == pytest.approx(1e-9, rel=1e-3)
    for step in (1_500, 10_000, 20_000, 39_999):
        assert rates[step] == pytest.approx(float(cosine[step]), rel=2e-3, abs=1e-9)
    assert rates[750] == pytest.approx(5e-4, rel=0.01)


@pytest.mark.parametrize("name", [DENSE, CLOTHES])
def test_dense_probes_are_capis_protocol(name: str) -> None:
    """facebookresearch/capi, eval_segmentation.py: squared pictures and masks, bicubic and nearest, in order."""
    cfg = load(name)
    assert cfg.train_cfg.type == "mixedae.DenseLogisticLoop" and cfg.knn.train_cfg.type == "mixedae.DenseKNNLoop"
    for split in ("train", "val"):
        loader = cfg[f"{split}_dataloader"]
        kinds = [step["type"] for step in loader.dataset.pipeline]
        assert kinds == ["mixedae.LoadPicture", "LoadAnnotations", "Resize", "PackSegInputs"]
        resize = loader.dataset.pipeline[2]
        assert resize["keep_ratio"] is False and resize["interpolation"] == "bicubic"
        assert tuple(resize["scale"]) == tuple(cfg.size)
        assert loader.sampler == dict(type="DefaultSampler", shuffle=False) and not loader.get("drop_last")
    own = [step["type"] for step in cfg.own_size.val_dataloader.dataset.pipeline]
    assert own == ["mixedae.LoadPicture", "Resize", "LoadAnnotations", "PackSegInputs"]
    backbone = cfg.model.backbone
    assert backbone.final_norm and backbone.out_type == "featmap" and backbone.trainable_blocks == 0
    with DefaultScope.overwrite_default_scope("mmseg"):
        model = MODELS.build({**cfg.model, "backbone": {**backbone, "init_cfg": None}})
    assert not any(p.requires_grad for p in model.parameters())
    (maps,) = model(torch.zeros(1, 3, *cfg.size))
    side = backbone.patch_size
    assert maps.shape == (1, model.backbone.embed_dims, cfg.size[0] // side, cfg.size[1] // side)


def test_the_grids_are_capis() -> None:
    """C from 1e-6 to 1e5 in eight steps is l2 from 1e6 to 1e-5; k of 1, 3, 10, 30 by two distances."""
    l2 = signature(DenseLogisticLoop).parameters["l2"].default
    torch.testing.assert_close(
        torch.tensor(sorted(1 / x for x in l2)),
        torch.logspace(-6, 5, 8, dtype=torch.float64).float(),
        rtol=1e-5,
        atol=0,
    )
    knn = signature(DenseKNNLoop).parameters
    assert (knn["ks"].default, knn["cosine"].default) == ((1, 3, 10, 30), (True, False))
    assert load(DENSE).size == (224, 224) and load(DENSE).train_cfg.patches == 400_000
