"""All layers in one pass: each equals the probe of that layer alone; pools; keys of the cache."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mixedae.engine.probes.features import POOLS, describe, features_of, pooled
from mixedae.engine.probes.knn import knn_accuracies
from mixedae.errors import ConfigError
from mixedae.records import probe_of, probe_scalar
from tests.configs.recipe import CONFIGS


def test_names_of_layers_go_there_and_back() -> None:
    assert probe_of(probe_scalar("knn", 12)) == ("knn", 12)
    assert probe_of("layers/other_1") is None and probe_of("accuracy/top1") is None


def test_pools_are_what_they_say() -> None:
    tokens = torch.randn(3, 7, 4)
    vit = SimpleNamespace(num_extra_tokens=1)
    patches = tokens[:, 1:]
    assert pooled(tokens, vit, "cls").equal(tokens[:, 0])
    torch.testing.assert_close(pooled(tokens, vit, "mean"), patches.mean(1))
    assert pooled(tokens, vit, "tokens").equal(patches)
    torch.testing.assert_close(pooled(tokens, vit, "both"), torch.cat((tokens[:, 0], patches.mean(1)), 1))
    for pool in ("cls", "both"):
        with pytest.raises(ConfigError, match=r"without a \[CLS\] token"):
            pooled(tokens, SimpleNamespace(num_extra_tokens=0), pool)
        with pytest.raises(ConfigError, match="out_type=raw"):
            pooled(torch.randn(3, 4), vit, pool)


@pytest.fixture
def leaf(mini_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    monkeypatch.setenv("MIXEDAE_DATA_MINI", str(mini_data))
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)

    def load(overlay: str, **changes) -> Config:
        cfg = Config.fromfile(CONFIGS / "mini/classification/small_mini.py")
        cfg.merge_from_dict(cfg[overlay].to_dict())
        splits = dict(_delete_=True, trainval=dict(data_prefix="train"), test=dict(data_prefix="val"))
        for split in ("train", "val", "test"):
            expected = dict(_delete_=True, classes=10, trainval=30, test=20)
            cfg.merge_from_dict({f"{split}_dataloader": dict(dataset=dict(splits=dict(splits), expected=expected))})
        cfg.merge_from_dict(
            {
                "model.backbone.init_cfg.checkpoint": "random",
                "work_dir": str(tmp_path / "run"),
                "train_cfg.cache": str(tmp_path / "cache"),
                **changes,
            }
        )
        cfg.experiment_name = "_".join((overlay, tmp_path.name))
        return cfg

    return load


@pytest.mark.train
def test_each_layer_is_probed_as_if_it_were_alone(leaf: Callable[..., Config], tmp_path: Path) -> None:
    runner = Runner.from_cfg(leaf("layers"))
    runner.train()
    metrics = json.loads((tmp_path / "run/run_record.json").read_text())["metrics"]
    assert set(metrics) == {probe_scalar(probe, layer) for probe in ("knn", "linear") for layer in range(1, 5)}
    loop, backbone = runner.train_loop, runner.model.backbone
    infos = [loop.dataloader.dataset.get_data_info(i) for i in range(30)]
    tests = [runner.val_dataloader.dataset.get_data_info(i) for i in range(20)]
    known, truth = (torch.tensor([int(info["gt_label"]) for info in part]) for part in (infos, tests))
    for layer in (1, 4):
        backbone.out_indices = [layer - 1]
        bank, asked = (features_of(runner.model, loader) for loader in (loop.dataloader, runner.val_dataloader))
        assert bank.shape == (30, backbone.embed_dims)
        expected = knn_accuracies(bank, known, asked, truth, (20,))["knn/top1_k20"]
        assert metrics[probe_scalar("knn", layer)] == pytest.approx(expected)


@pytest.mark.train
def test_no_two_kinds_of_features_share_a_key(leaf: Callable[..., Config]) -> None:
    """Another layer, pool, norm, patch size of the pipeline or pixel: another key."""
    keys = set()
    variants: list[dict] = [
        {},
        {"model.backbone.out_indices": (2,)},
        {"model.backbone.out_indices": (2, 3)},
        {"model.backbone.final_norm": False},
        {"data_preprocessor.mean": [0.0, 0.0, 0.0]},
    ]
    for changes in variants:
        cfg = leaf("layers", **changes)
        runner = Runner.from_cfg(cfg)
        torch.manual_seed(0)
        for parameter in runner.model.parameters():
            torch.nn.init.normal_(parameter)
        for pool in POOLS:
            loader = runner.val_dataloader
            loader = loader if not isinstance(loader, dict) else runner.build_dataloader(loader)
            keys.add(json.dumps(describe(runner, loader, cfg.val_dataloader, pool), sort_keys=True))
    assert len(keys) == len(variants) * len(POOLS)


def test_one_layer_is_not_a_sweep(leaf: Callable[..., Config]) -> None:
    with pytest.raises(ConfigError, match="out_indices"):
        Runner.from_cfg(leaf("layers", **{"model.backbone.out_indices": (3,)})).train()
    with pytest.raises(ConfigError, match="pool='tokens' found; expected mean, cls, both"):
        Runner.from_cfg(leaf("layers", **{"train_cfg.pool": "tokens"})).train()
