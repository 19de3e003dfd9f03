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
from torch import nn

from mixedae.analysis.measures.recognition import logged, recognition
from mixedae.engine.hooks.recognition import chance_level, evaluating, recognition_by_layer
from mixedae.errors import ConfigError
from mixedae.ops import patchify, sample_sources
from tests.engine.hooks.recognition_run import EPOCHS, IMAGES, MODEL, ToyImages, config
from tests.forked import Forked
from tests.models.conftest import build

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


def test_evaluating_leaves_no_trace() -> None:
    module = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 3))
    module.train()
    module[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), evaluating(module):
        assert not torch.is_grad_enabled() and not module[0].training
        module(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
        raise ZeroDivisionError
    assert [part.training for part in module] == [True, False, True] and module.training and torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("cls_in_pool", [True, False])
def test_the_oracle_recognises_everything(cls_in_pool: bool) -> None:
    torch.manual_seed(0)
    images = torch.randn(8, 3, 16, 16)
    accuracy, chance = recognition(build("MixedAE", backbone=dict(attention="oracle", cls_in_pool=cls_in_pool)), images)
    assert accuracy.shape == (3, 4) and (accuracy == 1).all()
    assert chance == pytest.approx(3 / 15)
    one = torch.tensor([[0] * 7 + [1] * 5 + [2] * 3 + [3]])  # a query of n patches meets n - 1 of 15
    assert chance_level(one) == pytest.approx(sum(n * (n - 1) / 15 for n in (7, 5, 3, 1)) / 16)


def test_accuracy_by_loops_in_every_layer() -> None:
    """Each layer's K = 4 highest scores, counted by hand from its own queries and keys; also in the plain first."""
    torch.manual_seed(1)
    model = build("MixedAE", backbone=dict(cls_in_pool=False), segment_embedding="none")
    patches = patchify(torch.randn(8, 3, 16, 16), 4)
    sources = sample_sources(2, 16, 4, generator=torch.Generator().manual_seed(3))
    found = recognition_by_layer(model, patches, sources)
    inputs: list[torch.Tensor] = []
    for layer in model.backbone.layers:
        layer.ln1.register_forward_hook(lambda module, args, out: inputs.append(out.detach()))
    with torch.no_grad():
        model.encode_mixed(patches, sources)
    for i, layer in enumerate(model.backbone.layers):
        q, k, _ = model.backbone.project(layer.attn, inputs[i])
        for head in range(4):
            hits = total = 0
            for m in range(2):
                for query in range(16):
                    scores = [(float(q[m, head, 1 + query] @ k[m, head, 1 + key]), key) for key in range(16)]
                    for _, key in sorted(scores, reverse=True)[:4]:
                        if key != query:
                            total += 1
                            hits += int(sources[m, key] == sources[m, query])
            assert found[i, head].item() == pytest.approx(hits / total)


def test_attention_that_knows_nothing_is_at_chance() -> None:
    """Without segments and with noise for pixels, initial weights choose by position, and sources do not follow it."""
    torch.manual_seed(2)
    model = build("MixedAE", backbone=dict(img_size=32, cls_in_pool=False), segment_embedding="none")
    accuracy, chance = recognition(model, torch.randn(256, 3, 32, 32))
    assert chance == pytest.approx(15 / 63)
    assert abs(accuracy.mean() - chance) < 0.02


def test_parts_do_not_change_the_mean() -> None:
    torch.manual_seed(3)
    model = build("MixedAE", mode="full")
    images = torch.randn(IMAGES + 1, 3, 16, 16)  # the last one has no group
    whole, _ = recognition(model, images, groups=100)
    parts, _ = recognition(model, images, groups=3)
    # the share is of all kept keys; parts are weighted by mixed samples, which differ in kept keys through [CLS] alone
    assert abs(whole - parts).max() < 0.02


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_cpus_accuracy() -> None:
    torch.manual_seed(4)
    model = build("MixedAE")
    patches = patchify(torch.randn(16, 3, 16, 16), 4)
    sources = sample_sources(4, 16, 4, generator=torch.Generator().manual_seed(0))
    expected = recognition_by_layer(model, patches, sources)
    found = recognition_by_layer(model.cuda(), patches.cuda(), sources.cuda())
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=0.01)  # near ties may fall the other way
