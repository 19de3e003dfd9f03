"""The online probe: its figures, how often it runs, and that no weight depends on it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mixedae.engine.hooks.online import OnlineProbeHook, Sample, figures, interval_for
from mixedae.engine.probes.knn import knn_accuracies
from mixedae.engine.probes.ridge import fit_ridge
from mixedae.errors import ConfigError
from tests.configs.recipe import CONFIGS


@given(epoch=st.floats(0.1, 1e4), probe=st.floats(0.01, 1e4), share=st.floats(0.005, 1))
def test_n_is_the_smallest_that_keeps_the_share(epoch: float, probe: float, share: float) -> None:
    n = interval_for(epoch, probe, share)
    assert probe <= share * n * epoch * (1 + 1e-9)
    assert n == 1 or probe > share * (n - 1) * epoch * (1 - 1e-9)


def test_figures_are_the_probes_on_the_same_features() -> None:
    generator = torch.Generator().manual_seed(0)
    known, truth = torch.arange(60) % 3, torch.arange(24) % 3
    means = 2 * torch.randn(3, 5, generator=generator)
    bank = means[known] + torch.randn(60, 5, generator=generator)
    asked = means[truth] + torch.randn(24, 5, generator=generator)
    found = figures([asked, bank], [truth, known], k=7)
    assert found["online/knn"] == knn_accuracies(bank, known, asked, truth, (7,))["knn/top1_k7"]
    right = fit_ridge(bank, known, 3).scores(asked).argmax(1) == truth
    assert found["online/linear"] == pytest.approx(100 * right.double().mean().item())
    values = torch.linalg.svdvals((asked - asked.mean(0)).double())
    shares = values / values.sum()
    assert found["online/rankme"] == pytest.approx(float((-(shares * shares.log()).sum()).exp()), rel=1e-4)
    assert set(figures([asked], [], k=7)) == {"online/rankme"}


def test_the_sample_is_fixed() -> None:
    class Numbers:
        def __len__(self) -> int:
            return 40

        def __getitem__(self, index: int) -> int:
            return index

        def get_data_info(self, index: int) -> dict:
            return {"gt_label": index}

    sample = Sample(Numbers(), 9)
    drawn = [sample[i] for i in range(len(sample))]
    assert drawn == [Sample(Numbers(), 9)[i] for i in range(9)] == sorted(set(drawn))
    assert [sample.get_data_info(i)["gt_label"] for i in range(9)] == drawn
    assert len(Sample(Numbers(), 100)) == 40


def pretraining(folder: Path, hook: dict | None) -> Config:
    cfg = Config.fromfile(CONFIGS / "mini/pretrain/mixedae_vit-mini-p8_1xb64-coslr-15e_mini.py")
    if hook is not None:
        cfg.custom_hooks.append(hook)
    cfg.train_dataloader.batch_size = 4
    cfg.train_dataloader.dataset.indices = 8
    cfg.train_cfg.max_epochs, cfg.param_scheduler = 3, None
    cfg.work_dir = str(folder)
    cfg.experiment_name = folder.name + folder.parent.name
    return cfg


def loaders() -> dict:
    labelled = Config.fromfile(CONFIGS / "mini/classification/mixedae-vit-mini-p8_1xb32-coslr-60e_mini.py")
    found = {}
    for split in ("train", "val"):
        data = {**labelled[f"{split}_dataloader"].dataset, "type": "mmpretrain.CustomDataset"}
        data["pipeline"] = labelled.test_pipeline
        found[f"{split}_dataloader"] = dict(batch_size=10, num_workers=0, dataset=data)
    return found


@pytest.mark.train
@pytest.mark.parametrize("build", [Runner.from_cfg, RUNNERS.build], ids=["upstream", "strict"])
def test_it_watches_and_no_weight_depends_on_it(
    build: Callable, mini_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIXEDAE_DATA_MINI", str(mini_data))
    monkeypatch.setattr("mixedae.engine.hooks.online.interval_for", lambda *_: 2)
    hook = dict(type="mixedae.OnlineProbeHook", pictures=12, k=3, **loaders())
    weights = []
    for name, extra in (("with", hook), ("without", None)):
        runner = build(pretraining(tmp_path / name, extra))
        runner.train()
        weights.append(runner.model.state_dict())
    assert all(weights[1][key].equal(value) for key, value in weights[0].items())
    assert not list((tmp_path / "without").rglob("*online*"))
    lines = next((tmp_path / "with").rglob("scalars.json")).read_text().splitlines()
    measured = [entry for line in lines if "online/knn" in (entry := json.loads(line))]
    assert [entry["epoch"] for entry in measured] == [1, 2, 3]  # the first, every second and the last
    assert {"online/linear", "online/rankme"} <= set(measured[0])
    assert all(0 <= entry["online/knn"] <= 100 for entry in measured)


def test_bad_arguments_are_named() -> None:
    for wrong in ({"pictures": 1}, {"share": 0.0}, {"share": 1.5}, {"k": 0}):
        with pytest.raises(ConfigError, match="OnlineProbeHook: pictures="):
            OnlineProbeHook({}, **wrong)
