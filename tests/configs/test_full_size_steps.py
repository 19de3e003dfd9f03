"""Every full-size leaf takes two training steps and tests some pictures, narrow and at a reduced size, on real files.

The heads, losses, samplers, pipelines, parameter groups and hooks are the recipe's own. Without the sample photographs
the files are the mini benchmark's.
"""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from tests.configs.recipe import build_on_meta, leaves, load
from tests.configs.reduced import find_files, reduced

TASKS = ("classification", "segmentation", "detection")
NO_STEPS = ("knn", "_dense_")
"""In the names of recipes that train nothing."""
FP32 = "segmentation/mixedae-vit-base_linear_8xb2-40k_ade20k-512x512"
"""DINOv3's linear recipe is in fp32, as published."""
TRAINED = [name for name in leaves(*TASKS) if not any(part in name for part in NO_STEPS)]
BATCH = 2


class Start(Hook):
    """The weights that training begins with."""

    def before_train(self, runner: Runner) -> None:
        self.weights = {n: p.detach().clone() for n, p in runner.model.named_parameters()}


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.parametrize("name", TRAINED)
def test_two_steps_and_a_test(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    cfg = reduced(load(name), name.split("/")[0], find_files(request))
    cfg.optim_wrapper.type = "OptimWrapper"  # mixed precision asks for a GPU
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.batch_size = min(BATCH, loader.batch_size)
    cfg.train_dataloader.sampler = dict(type="InfiniteSampler", shuffle=True)
    cfg.train_dataloader.pop("batch_sampler", None)
    if "ade20k" not in name:
        cfg.val_dataloader.dataset.indices = 4
    cfg.train_cfg = dict(type="IterBasedTrainLoop", max_iters=2, val_interval=2)
    cfg.default_hooks.checkpoint = dict(type="CheckpointHook", by_epoch=False, interval=2)
    cfg.log_processor, cfg.param_scheduler = dict(by_epoch=False), None
    cfg.auto_scale_lr = dict(base_batch_size=BATCH, enable=True)
    cfg.work_dir = str(tmp_path)
    runner = Runner.from_cfg(cfg)
    start = Start()
    runner.register_hook(start)
    runner.train()
    learns = {n for n, p in runner.model.named_parameters() if p.requires_grad}
    moved = {n for n, p in runner.model.named_parameters() if not torch.equal(p, start.weights[n])}
    assert moved <= learns and len(moved) > len(learns) / 2  # a mask head may have seen no object in two steps
    assert all(torch.isfinite(p).all() for p in runner.model.parameters())
    assert (tmp_path / "run_record.json").is_file() and (tmp_path / "iter_2.pth").is_file()
    if "ade20k" in name:
        with_tta(cfg, tmp_path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", [name for name in TRAINED if name != FP32])
def test_the_built_wrapper_is_amps(name: str) -> None:
    """A recipe that says amp steps with a gradient scaler; on a CPU the resolved type is checked instead."""
    from mmengine.optim import AmpOptimWrapper, build_optim_wrapper
    from mmengine.registry import DefaultScope

    cfg = load(name)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        wrapper = build_optim_wrapper(build_on_meta(cfg), cfg.optim_wrapper)
    assert type(wrapper) is AmpOptimWrapper and wrapper.loss_scaler.is_enabled()


@pytest.mark.parametrize("name", TRAINED)
def test_the_resolved_wrapper_is_amps(name: str) -> None:
    assert load(name).optim_wrapper.type == ("OptimWrapper" if name == FP32 else "AmpOptimWrapper")


def with_tta(cfg: Config, work_dir: Path) -> None:
    """The multi-scale and flip test runs on pictures of any aspect ratio."""
    tta = copy.deepcopy(cfg)
    tta.test_dataloader = copy.deepcopy(cfg.val_dataloader)
    pipeline = cfg.tta_pipeline
    for step in pipeline[1].transforms[0]:
        step.scale = step.scale // 8
    tta.test_dataloader.dataset.pipeline = pipeline
    tta.model = dict(**cfg.tta_model, module=cfg.model)
    runner = Runner.from_cfg(tta)
    assert 0 <= runner.test()["mIoU"] <= 100
