"""A grid of probes through the Runner: groups, the choice, the record, what a checkpoint holds."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS

import mixedae.registry  # noqa: F401
from mixedae.engine.probes.grid import ProbeGridConstructor
from mixedae.errors import ConfigError
from mixedae.weights.reading import read_checkpoint
from tests.configs.recipe import CONFIGS


@pytest.fixture
def leaf(mini_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """The Imagenette leaf on the mini benchmark's folders: 10 classes, 3 training and 2 test pictures each."""
    monkeypatch.setenv("MIXEDAE_DATA_IMAGENETTE", str(mini_data / "imagenet"))
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)

    def load(**changes) -> Config:
        cfg = Config.fromfile(CONFIGS / "mini/classification/attentive_imagenette.py")
        expected = dict(_delete_=True, classes=10, trainval=30, test=20)
        for split in ("train", "val", "test"):
            cfg.merge_from_dict({f"{split}_dataloader": dict(dataset=dict(expected=expected))})
        cfg.custom_hooks[-1].dataloader.dataset.expected = dict(classes=10, trainval=30, test=20)
        cfg.custom_hooks[-1].dataloader.dataset.pipeline = cfg.test_pipeline
        cfg.merge_from_dict(
            {
                "model.backbone.init_cfg.checkpoint": "random",
                "work_dir": str(tmp_path / "run"),
                "train_dataloader.batch_size": 5,
                "train_cfg": dict(max_epochs=2, val_interval=2),
                "param_scheduler": None,
                "optim_wrapper.optimizer.lr": 5 / 256,
                "auto_scale_lr": None,
                "model.head.learning_rates": (1e-3, 1.0, 10.0),
                "model.head.weight_decays": (0.0, 0.1),
                **changes,
            }
        )
        cfg.experiment_name = f"grid_{tmp_path.name}"
        return cfg

    return load


@pytest.mark.train
def test_one_is_chosen_on_held_out_pictures_and_the_checkpoint_holds_the_choice(
    leaf: Callable[..., Config], tmp_path: Path
) -> None:
    runner = RUNNERS.build(leaf())
    runner.train()
    metrics = json.loads((tmp_path / "run/run_record.json").read_text())["metrics"]
    assert {"accuracy/top1", "attentive/lr", "attentive/weight_decay", "attentive/held_out"} == set(metrics)
    head = runner.model.head.eval()
    hook = next(hook for hook in runner.hooks if type(hook).__name__ == "ChooseProbeHook")
    right = torch.zeros(len(head.grid))
    with torch.no_grad():
        for batch in hook._loader:
            data = runner.model.eval().data_preprocessor(batch, False)
            truth = torch.cat([sample.gt_label for sample in data["data_samples"]])
            for index, scores in enumerate(head.every(runner.model.backbone(data["inputs"]))):
                right[index] += (scores.argmax(1) == truth).sum()
    assert len(hook._loader.dataset) == 10  # one of three pictures of each class
    best = int(right.argmax())
    assert int(head.chosen) == best
    assert (metrics["attentive/lr"], metrics["attentive/weight_decay"]) == head.grid[best]
    assert metrics["attentive/held_out"] == pytest.approx(10 * float(right[best]))
    saved = read_checkpoint(tmp_path / "run/epoch_2.pth")["state_dict"]
    assert int(saved["head.chosen"]) == best


def test_each_probe_has_its_rate_and_decay(leaf: Callable[..., Config]) -> None:
    runner = RUNNERS.build(leaf())
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    groups = wrapper.optimizer.param_groups
    names = [name for group in groups for name in group["param_names"]]
    trained = [name for name, p in runner.model.named_parameters() if p.requires_grad]
    assert sorted(names) == sorted(trained) and len(set(names)) == len(names)
    for group in groups:
        for name in group["param_names"]:
            rate, decay = runner.model.head.grid[int(name.split(".")[2])]
            assert group["lr"] == pytest.approx(5 / 256 * rate)
            assert group["weight_decay"] == (0.0 if name.endswith("bias") else decay)


def test_nothing_else_may_train(leaf: Callable[..., Config]) -> None:
    with pytest.raises(ConfigError, match="paramwise_cfg="):
        ProbeGridConstructor(dict(optimizer=dict(type="SGD", lr=1.0)), {"norm_decay_mult": 0.0})
    runner = RUNNERS.build(leaf(**{"model.backbone.trainable_blocks": 1}))
    with pytest.raises(ConfigError, match="trainable_blocks=0"):
        runner.build_optim_wrapper(runner.optim_wrapper)
