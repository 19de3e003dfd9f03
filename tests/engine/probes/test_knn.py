"""The vote of the nearest neighbours against its definition, and the loop on real files."""

import json
import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mixedae.engine.probes.knn import knn_accuracies
from tests.configs.recipe import CONFIGS


def by_hand(bank: torch.Tensor, labels: torch.Tensor, query: torch.Tensor, k: int, temperature: float) -> int:
    cosine = [float(torch.dot(query, row) / query.norm() / row.norm()) for row in bank]
    near = sorted(range(len(bank)), key=lambda i: -cosine[i])[:k]
    votes: dict[int, float] = {}
    for i in near:
        votes[int(labels[i])] = votes.get(int(labels[i]), 0.0) + math.exp(cosine[i] / temperature)
    return max(votes, key=lambda label: votes[label])


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_votes_are_the_definition(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    bank, queries = torch.randn(60, 5, generator=generator), torch.randn(23, 5, generator=generator)
    labels, truth = torch.arange(60) % 4, torch.arange(23) % 4
    found = knn_accuracies(bank, labels, queries, truth, ks=(1, 7, 200), temperature=temperature, chunk=10)
    for k in (1, 7, 200):
        right = [by_hand(bank, labels, q, k, temperature) == int(t) for q, t in zip(queries, truth, strict=True)]
        assert found[f"knn/top1_k{k}"] == pytest.approx(100 * sum(right) / 23)


def test_separated_classes_are_all_right_and_scale_does_not_matter() -> None:
    centres = torch.eye(3) * 5
    labels = torch.arange(30) % 3
    bank = centres[labels] + 0.1 * torch.randn(30, 3, generator=torch.Generator().manual_seed(1))
    assert set(knn_accuracies(bank * 1e4, labels, bank * 1e-4, labels, ks=(1, 5)).values()) == {100.0}


@pytest.mark.train
def test_the_loop_measures_without_training(mini_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The full-size recipe's loop around the mini ViT: metrics in the record, weights as they were."""
    monkeypatch.setenv("MIXEDAE_DATA_MINI", str(mini_data))
    cfg = Config.fromfile(CONFIGS / "mini/classification/mixedae-vit-mini-p8_1xb32-coslr-60e_mini.py")
    full = Config.fromfile(CONFIGS / "classification/mixedae-vit-base-p16_knn_in1k.py")
    for key in ("train_cfg", "optim_wrapper"):
        cfg[key] = full[key]
    cfg.param_scheduler = cfg.auto_scale_lr = None
    cfg.model.backbone.update(out_type="raw", final_norm=True, init_cfg=dict(cfg.model.backbone.init_cfg))
    cfg.model.backbone.init_cfg.checkpoint = "random"
    cfg.train_dataloader.update(drop_last=False, sampler=dict(type="DefaultSampler", shuffle=False))
    cfg.train_dataloader.dataset.pipeline = cfg.test_pipeline
    cfg.work_dir = str(tmp_path)
    cfg.train_cfg.ks = (1, 10, 20)
    runner = Runner.from_cfg(cfg)
    runner.train()
    record = json.loads((tmp_path / "run_record.json").read_text())
    assert record["status"] == "finished"
    assert set(record["metrics"]) == {f"knn/top1_k{k}" for k in (1, 10, 20)}
    assert all(0 <= value <= 100 for value in record["metrics"].values())
