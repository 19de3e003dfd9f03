"""RecognitionHook: what it measures, and that training does not notice it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from mixedae.analysis.measures.recognition import logged
from mixedae.errors import ConfigError
from mixedae.models.recognition import recognition_by_layer
from mixedae.ops import patchify, sample_sources
from tests.engine.hooks.recognition_run import EPOCHS, IMAGES, MODEL, ToyImages, config
from tests.forked import Forked

HOOK = dict(type="mixedae.RecognitionHook", num_images=6)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)
    yield
    for logger in MMLogger._instance_dict.values():
        for handler in logger.handlers:
            handler.close()
    for manager in (MMLogger, MessageHub, Visualizer, DefaultScope):
        manager._instance_dict.clear()


def train(work_dir: Path, hooks: list[dict], model: dict | None = None) -> Runner:
    cfg = config(work_dir, hooks, model)
    cfg.experiment_name = f"toy{len(MMLogger._instance_dict)}"
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_training_is_bit_identical_with_and_without(tmp_path: Path) -> None:
    """Dropout paths, mixing masks and the order of images all draw random numbers after the hook ran."""
    plain = train(tmp_path / "plain", [])
    watched = train(tmp_path / "watched", [HOOK])
    for (name, ours), theirs in zip(watched.model.state_dict().items(), plain.model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name
    assert all(part.training for part in watched.model.modules())

    epochs = logged(tmp_path / "watched")
    assert list(epochs) == list(range(1, EPOCHS + 1)) and not logged(tmp_path / "plain")
    histories = watched.message_hub.log_scalars
    for layer in range(3):
        history, _ = histories[f"recognition/layer_{layer + 1}"].data
        assert history.tolist() == [values[layer] for values in epochs.values()]
    # the last value, rebuilt from the first group that training met
    sources = sample_sources(1, 16, 4, generator=torch.Generator().manual_seed(0))
    data = torch.utils.data.default_collate([ToyImages()[i] for i in range(IMAGES)])
    images = watched.model.data_preprocessor(data, False)["inputs"]
    order = first_order(watched)[:4]
    expected = recognition_by_layer(watched.model, patchify(images[order], 4), sources).mean(dim=1).tolist()
    assert epochs[EPOCHS] == pytest.approx(expected)


def first_order(runner: Runner) -> list[int]:
    """The order of the images in the first epoch."""
    sampler = runner.train_dataloader.sampler
    sampler.set_epoch(0)
    return list(sampler)


def test_only_what_mixes_can_be_watched(tmp_path: Path) -> None:
    mae = {key: value for key, value in MODEL.items() if key != "head"} | {
        "type": "mixedae.MAE",
        "head": dict(type="mixedae.MixedAEPretrainHead", embed_dims=32, contrastive_weight=0.0),
        "backbone": {**MODEL["backbone"], "attention": "plain"},
    }
    with pytest.raises(ConfigError, match="RecognitionHook found a MAE"):
        train(tmp_path, [HOOK], mae)
    with pytest.raises(ConfigError, match="a group of 4 at least"):
        train(tmp_path, [dict(type="mixedae.RecognitionHook", num_images=3)])


@pytest.mark.ddp
@pytest.mark.train
def test_two_processes_end_with_equal_weights_and_one_log(tmp_path: Path) -> None:
    processes = [
        Forked(
            "tests.engine.hooks.recognition_run",
            tmp_path,
            env=os.environ | {"RANK": str(r), "LOCAL_RANK": str(r), "WORLD_SIZE": "2"},
        )
        for r in range(2)
    ]
    try:
        ends = [process.wait() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [done.returncode for done in ends] == [0, 0], ends
    assert (tmp_path / "sum_0").read_text() == (tmp_path / "sum_1").read_text()
    assert list(logged(tmp_path)) == list(range(1, EPOCHS + 1))
