"""Probes of frozen features on ImageNet by the protocols of DINO, efficient probing and CAPI, number by number."""

from copy import deepcopy

import pytest
import torch
from mmengine.config import Config

from mixedae.engine.probes import knn
from mixedae.engine.probes.knn import knn_accuracies
from mixedae.models.attentive_head import AttentiveProbeHead
from tests.configs.recipe import build_on_meta, learning_rates, load, parameter_groups

KNN = "classification/mixedae-vit-base-p16_knn_in1k"
LINEAR = "classification/mixedae-vit-base-p16_8xb2048-amp-linear-coslr-90e_in1k"
ATTENTIVE = "classification/mixedae-vit-base-p16_8xb512-amp-attentive-coslr-90e_in1k"


def merged(name: str, overlay: str = "") -> Config:
    cfg = deepcopy(load(name))
    if overlay:
        cfg.merge_from_dict(cfg[overlay].to_dict())
    return cfg


def test_knn_by_dino_and_by_efficient_probing() -> None:
    dino, efficient = merged(KNN, "dino"), merged(KNN, "efficient")
    assert dino.train_cfg.pool == "cls" and dino.train_cfg.ks == (10, 20, 100, 200)
    assert dino.train_cfg.temperature == 0.07 and dino.model.backbone.final_norm
    assert efficient.train_cfg.pool == "cls" and not efficient.model.backbone.final_norm
    assert efficient.train_cfg.ks == (5, 10, 15, 20, 50, 100, 200)
    assert efficient.train_cfg.temperature == (0.07, 0.1, 0.2)


def test_the_best_of_several_temperatures_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    bank, asked = torch.randn(50, 4, generator=generator), torch.randn(21, 4, generator=generator)
    labels, truth = torch.arange(50) % 3, torch.arange(21) % 3

    class Loader:
        def __init__(self, features: torch.Tensor, labels: torch.Tensor) -> None:
            self.features, self.dataset, self.labels = features, self, labels

    monkeypatch.setattr(knn, "features_of", lambda model, loader, pool: loader.features)
    monkeypatch.setattr(knn, "labels_of", lambda dataset: dataset.labels)
    found = knn.measure(torch.nn.Linear(1, 1), Loader(bank, labels), Loader(asked, truth), (3, 9), (0.07, 0.5), "cls")
    every = {
        (k, t): knn_accuracies(bank, labels, asked, truth, (k,), t)[f"knn/top1_k{k}"]
        for k in (3, 9)
        for t in (0.07, 0.5)
    }
    assert found["knn/best"] == max(every.values()) == every[found["knn/k"], found["knn/temperature"]]
    assert found["knn/top1_k3"] == every[3, 0.07]
    alone = knn.measure(torch.nn.Linear(1, 1), Loader(bank, labels), Loader(asked, truth), (3,), (0.5,))
    assert alone == {"knn/top1_k3": every[3, 0.5]}


@pytest.mark.parametrize(("name", "overlay"), [(LINEAR, "efficient"), (ATTENTIVE, "")])
def test_efficient_probings_schedule(name: str, overlay: str) -> None:
    """LARS, base rate 0.1, batches of 4096, 90 epochs of which 10 warm up, no decay (main_linprobe.py)."""
    cfg = merged(name, overlay)
    assert cfg.train_dataloader.batch_size * cfg.num_gpus == cfg.auto_scale_lr.base_batch_size == 4096
    assert cfg.optim_wrapper.optimizer.type == "mixedae.LARS"
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.1 * 4096 / 256)
    assert cfg.optim_wrapper.optimizer.weight_decay == 0
    assert cfg.train_cfg.max_epochs == 90 and not cfg.model.backbone.final_norm
    rates = [rate for (rate,) in learning_rates(cfg, (1.0,), epoch_length=2)]
    assert max(rates) == pytest.approx(1.6) and rates.index(max(rates)) in (19, 20)
    kinds = [step["type"] for step in cfg.train_dataloader.dataset.pipeline]
    assert kinds == ["mixedae.LoadPicture", "RandomResizedCrop", "RandomFlip", "PackInputs"]


def test_the_attentive_probe_is_the_published_one() -> None:
    model = build_on_meta(load(ATTENTIVE), "cpu")
    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    assert sum(trained.values()) == 768 * 768 + 32 * 768 + 768 * 1000 + 1000
    assert all(name.startswith("head.probes.0.") for name in trained)
    head = model.head
    assert isinstance(head, AttentiveProbeHead) and head.skipped == 1
    assert float(head.probes[0].queries.std()) == pytest.approx(0.02, rel=0.05)
    model.eval()
    with torch.no_grad():
        assert model(torch.zeros(2, 3, 224, 224), mode="tensor") is not None
        assert head(model.backbone(torch.zeros(1, 3, 224, 224))).shape == (1, 1000)


def test_capis_grid_trains_side_by_side() -> None:
    cfg = merged(ATTENTIVE, "capi")
    assert cfg.train_dataloader.batch_size * cfg.num_gpus == 1024
    assert cfg.model.backbone.final_norm and cfg.optim_wrapper.optimizer.betas == (0.9, 0.95)
    for dataset, part in (
        (cfg.train_dataloader.dataset, "train"),
        (cfg.custom_hooks[-1].dataloader.dataset, "val"),
    ):
        assert (dataset.type, dataset.part, dataset.fraction) == ("mixedae.SmallSet", part, 0.1)
    cfg.model.head.num_classes = 10  # thirty probes of a thousand classes take a minute to make
    model = build_on_meta(cfg, "cpu")
    assert len(model.head.grid) == 30
    groups = parameter_groups(cfg, model)
    for name, (rate, decay) in groups.items():
        expected_rate, expected_decay = model.head.grid[int(name.split(".")[2])]
        assert rate == pytest.approx(4 * expected_rate)  # batches of 1024, rates for 256
        assert decay == (0 if name.endswith("bias") else expected_decay)
    rates = [rate for (rate,) in learning_rates(cfg, (1.0,), epoch_length=10)]
    assert rates.index(max(rates)) in (9, 10) and len(rates) == 100
