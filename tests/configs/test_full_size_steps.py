"""Every full-size leaf takes two training steps and tests some pictures, narrow and at a reduced size, on real files.

The heads, losses, samplers, pipelines, parameter groups and hooks are the recipe's own.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from tests.configs.recipe import build_on_meta, leaves, load

NARROW = dict(embed_dims=48, num_layers=12, num_heads=3, feedforward_channels=96)
BATCH = 2


def classification(cfg: Config, data: Path) -> None:
    root = data / "tiny_imagenet100"
    cfg.model.head.update(num_classes=100, in_channels=48)
    cfg.data_preprocessor.num_classes = 100
    if cfg.model.get("neck"):
        cfg.model.neck.input_features = 48
    cfg.model.backbone.update(img_size=64, patch_size=16)
    for split in ("train", "val"):
        dataset = cfg[f"{split}_dataloader"].dataset
        dataset.update(type="CustomDataset", data_root=str(root), data_prefix=split, ann_file="")
        dataset.pop("split", None)
        for step in dataset.pipeline:
            if step.type in ("RandomResizedCrop", "ResizeEdge"):
                step.scale = 64
            if step.type == "CenterCrop":
                step.crop_size = 64


def segmentation(cfg: Config, data: Path) -> None:
    cfg.model.backbone.img_size = cfg.model.data_preprocessor.size = (64, 64)
    cfg.model.neck.in_channels = 48
    cfg.model.decode_head.update(in_channels=[48] * 4, channels=16)
    cfg.model.auxiliary_head.update(in_channels=48, channels=16)
    cfg.model.test_cfg.update(crop_size=(64, 64), stride=(42, 42))
    for split in ("train", "val"):
        dataset = cfg[f"{split}_dataloader"].dataset
        dataset.data_root = str(data / "ade20k_sample")
        prefix = next(p.parent for p in (data / "ade20k_sample").rglob("images/**/*.jpg"))
        dataset.data_prefix = dict(
            img_path=str(prefix.relative_to(data / "ade20k_sample")),
            seg_map_path=str(prefix.relative_to(data / "ade20k_sample")).replace("images", "annotations"),
        )
        for step in dataset.pipeline:
            if step.type in ("RandomResize", "Resize"):
                step.scale = (256, 64)
            if step.type == "RandomCrop":
                step.crop_size = (64, 64)


def detection(cfg: Config, data: Path) -> None:
    neck = cfg.model.neck
    if isinstance(neck, list):
        neck[0].in_channels, neck[1].in_channels, neck[1].out_channels = 48, [48] * 4, 32
    else:
        neck.update(in_channels=48, out_channels=32)
        cfg.model.backbone.relative_grid = (8, 8)
        cfg.model.data_preprocessor.batch_augments[0].size = (128, 128)
    cfg.model.rpn_head.update(in_channels=32, feat_channels=32)
    roi = cfg.model.roi_head
    for head in roi.bbox_head if isinstance(roi.bbox_head, list) else [roi.bbox_head]:
        head.update(in_channels=32, conv_out_channels=32, fc_out_channels=64)
    roi.mask_head.update(in_channels=32, conv_out_channels=32)
    roi.bbox_roi_extractor.out_channels = roi.mask_roi_extractor.out_channels = 32
    cfg.model.train_cfg.rpn_proposal.max_per_img = cfg.model.test_cfg.rpn.max_per_img = 50
    rcnn = cfg.model.train_cfg.rcnn
    for stage in rcnn if isinstance(rcnn, list) else [rcnn]:
        stage.sampler.num = 32

    def smaller(step: Any) -> None:
        if isinstance(step, list | tuple):
            for inner in step:
                smaller(inner)
        elif step.type == "RandomChoice":
            smaller(step.transforms)
        elif step.type == "RandomChoiceResize":
            step.scales = [(short // 8, 160) for short, _ in step.scales]
        elif step.type in ("Resize", "RandomResize"):
            step.scale = (128, 128)
        elif step.type == "Pad":
            step.size = (128, 128)
        elif step.type == "RandomCrop":
            step.crop_size = (128, 128) if step.crop_type == "absolute" else (48, 75)

    for split in ("train", "val"):
        dataset = cfg[f"{split}_dataloader"].dataset
        dataset.data_root = str(data / "coco_tiny")
        smaller(dataset.pipeline)
    cfg.val_evaluator.ann_file = str(data / "coco_tiny/annotations/instances_val2017.json")


SHRINK: dict[str, Callable[[Config, Path], None]] = {
    "classification": classification,
    "segmentation": segmentation,
    "detection": detection,
}


class Start(Hook):
    """The weights that training begins with."""

    def before_train(self, runner: Runner) -> None:
        self.weights = {n: p.detach().clone() for n, p in runner.model.named_parameters()}


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.parametrize("name", [name for name in leaves(*SHRINK) if "knn" not in name])
def test_two_steps_and_a_test(name: str, sample_data: Path, tmp_path: Path) -> None:
    cfg = Config(load(name).to_dict(), filename=None)
    cfg.model.backbone.arch = NARROW
    cfg.model.backbone.init_cfg.checkpoint = "random"
    SHRINK[name.split("/")[0]](cfg, sample_data)
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
    if "ade20k" in name and "grid" not in name:
        with_tta(cfg, tmp_path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", [name for name in leaves(*SHRINK) if "knn" not in name])
def test_the_built_wrapper_is_amps(name: str) -> None:
    """A recipe that says amp steps with a gradient scaler; on a CPU the resolved type is checked instead."""
    from mmengine.optim import AmpOptimWrapper, build_optim_wrapper
    from mmengine.registry import DefaultScope

    cfg = load(name)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        wrapper = build_optim_wrapper(build_on_meta(cfg), cfg.optim_wrapper)
    assert type(wrapper) is AmpOptimWrapper and wrapper.loss_scaler.is_enabled()


@pytest.mark.parametrize("name", [name for name in leaves(*SHRINK) if "knn" not in name])
def test_the_resolved_wrapper_is_amps(name: str) -> None:
    assert load(name).optim_wrapper.type == "AmpOptimWrapper"


def with_tta(cfg: Config, work_dir: Path) -> None:
    """The multi-scale and flip test runs on pictures of any aspect ratio."""
    import copy

    tta = copy.deepcopy(cfg)
    tta.test_dataloader = copy.deepcopy(cfg.val_dataloader)
    pipeline = cfg.tta_pipeline
    for step in pipeline[1].transforms[0]:
        step.scale = step.scale // 8
    tta.test_dataloader.dataset.pipeline = pipeline
    tta.model = dict(**cfg.tta_model, module=cfg.model)
    runner = Runner.from_cfg(tta)
    assert 0 <= runner.test()["mIoU"] <= 100
