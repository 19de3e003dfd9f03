"""The full-size recipes, narrow and on small pictures: heads, losses, samplers and pipelines stay the recipe's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mixedae.datasets.mini.write import CLASSES

NARROW = dict(embed_dims=48, num_layers=12, num_heads=3, feedforward_channels=96)


@dataclass(frozen=True)
class Files:
    """Where the three tasks' pictures lie: real photographs, or the mini benchmark's.

    Attributes:
        folders: train/<class> and val/<class>.
        num_classes: how many of these.
        ade20k: root of pictures and masks.
        images: the pictures' folder in it; the masks' has `annotations` in the place of `images`.
        suffix: of the pictures there.
        coco: root of train2017, val2017 and their annotations.
        coco_classes: its classes; None is COCO's 80.
    """

    folders: Path
    num_classes: int
    ade20k: Path
    images: str
    suffix: str
    coco: Path
    coco_classes: tuple[str, ...] | None = None


def find_files(request: pytest.FixtureRequest) -> Files:
    """The sample photographs where they are, the mini benchmark elsewhere."""
    try:
        data = request.getfixturevalue("sample_data")
    except pytest.skip.Exception:
        data = request.getfixturevalue("mini_data")
        return Files(
            data / "imagenet", len(CLASSES), data / "ade20k", "images/training", ".png", data / "coco", CLASSES
        )
    ade20k = data / "ade20k_sample"
    images = next(path.parent for path in ade20k.rglob("images/**/*.jpg")).relative_to(ade20k)
    return Files(data / "tiny_imagenet100", 100, ade20k, str(images), ".jpg", data / "coco_tiny")


def reduced(cfg: Config, task: str, files: Files | None = None) -> Config:
    """A copy of a full-size recipe with a narrow model that starts from random weights; on ``files`` if they are given.

    Args:
        cfg: a leaf's.
        task: the leaf's folder.
        files: for training and testing.
    """
    cfg = Config(cfg.to_dict(), filename=None)
    cfg.model.backbone.arch = NARROW
    cfg.model.backbone.init_cfg.checkpoint = "random"
    {"classification": narrow_classifier, "segmentation": narrow_segmentor, "detection": narrow_detector}[task](cfg)
    if files is not None:
        {"classification": few_images, "segmentation": few_scenes, "detection": few_objects}[task](cfg, files)
    return cfg


def narrow_classifier(cfg: Config) -> None:
    cfg.model.head.in_channels = 48
    if cfg.model.get("neck"):
        cfg.model.neck.input_features = 48
    if cfg.model.head.type == "mixedae.AttentiveProbeHead":
        cfg.model.head.queries = 4
    cfg.model.backbone.update(img_size=64, patch_size=16)


def few_images(cfg: Config, files: Files) -> None:
    cfg.model.head.num_classes = cfg.data_preprocessor.num_classes = files.num_classes
    for split in ("train", "val"):
        dataset = cfg[f"{split}_dataloader"].dataset
        dataset.update(type="CustomDataset", data_root=str(files.folders), data_prefix=split, ann_file="")
        dataset.pop("split", None)
        for step in dataset.pipeline:
            if step.type in ("RandomResizedCrop", "ResizeEdge"):
                step.scale = 64
            if step.type == "CenterCrop":
                step.crop_size = 64


def narrow_segmentor(cfg: Config) -> None:
    cfg.model.backbone.img_size = cfg.model.data_preprocessor.size = (64, 64)
    if cfg.model.neck is None:  # a linear layer on the last layer's patches
        cfg.model.decode_head.in_channels = 48
    else:
        cfg.model.neck.in_channels = 48
        cfg.model.decode_head.update(in_channels=[48] * 4, channels=16)
        cfg.model.auxiliary_head.update(in_channels=48, channels=16)
    cfg.model.test_cfg.update(crop_size=(64, 64), stride=(42, 42))


def few_scenes(cfg: Config, files: Files) -> None:
    for split in ("train", "val"):
        dataset = cfg[f"{split}_dataloader"].dataset
        masks = files.images.replace("images", "annotations")
        dataset.update(data_root=str(files.ade20k), img_suffix=files.suffix)
        dataset.data_prefix = dict(img_path=files.images, seg_map_path=masks)
        for step in dataset.pipeline:
            if step.type in ("RandomResize", "Resize"):
                step.scale = (256, 64)
            if step.type == "RandomCrop":
                step.crop_size = (64, 64)


def narrow_detector(cfg: Config) -> None:
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


def few_objects(cfg: Config, files: Files) -> None:
    for split in ("train", "val"):
        dataset = cfg[f"{split}_dataloader"].dataset
        dataset.data_root = str(files.coco)
        if files.coco_classes:
            dataset.metainfo = dict(classes=files.coco_classes)
        _smaller(dataset.pipeline)
    cfg.val_evaluator.ann_file = str(files.coco / "annotations/instances_val2017.json")


def _smaller(step: Any) -> None:
    if isinstance(step, list | tuple):
        for inner in step:
            _smaller(inner)
    elif step.type == "RandomChoice":
        _smaller(step.transforms)
    elif step.type == "RandomChoiceResize":
        step.scales = [(short // 8, 160) for short, _ in step.scales]
    elif step.type in ("Resize", "RandomResize"):
        step.scale = (128, 128)
    elif step.type == "Pad":
        step.size = (128, 128)
    elif step.type == "RandomCrop":
        step.crop_size = (128, 128) if step.crop_type == "absolute" else (48, 75)
