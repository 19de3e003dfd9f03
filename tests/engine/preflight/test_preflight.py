"""Bad input ends with a named error before training; real configs pass."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from PIL import Image

from mixedae.engine.preflight.config import check_retention, check_schedule, check_sizes, preflight
from mixedae.engine.preflight.data import check_datasets
from mixedae.engine.preflight.keys import check_known_keys
from mixedae.errors import ConfigError, DataError, GroupSizeError, ImageSizeError, WeightsError
from mixedae.files import ROOT
from mixedae.nodes import walk


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


def instances() -> dict[str, Any]:
    """One object on one picture of 4 x 4 pixels, COCO's 80 categories."""
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2], "area": 4, "iscrowd": 0}
    return {
        "images": [{"id": 1, "file_name": "0.jpg", "width": 4, "height": 4}],
        "annotations": [{**box, "segmentation": [[0, 0, 2, 0, 2, 2]]}],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CocoDataset.METAINFO["classes"])],
    }


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """The three layouts, two pictures a class or split."""
    for split in ("train", "val"):
        for name in ("cat", "dog", "emu"):
            picture(tmp_path / "imagenet" / split / name / "0.png")
    for split in ("training", "validation"):
        for i in range(2):
            picture(tmp_path / "ade20k" / "images" / split / f"{i}.jpg")
            mask = tmp_path / "ade20k" / "annotations" / split / f"{i}.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).save(mask)
    for split in ("train2017", "val2017"):
        picture(tmp_path / "coco" / split / "0.jpg")
        (tmp_path / "coco" / "annotations").mkdir(exist_ok=True)
        (tmp_path / "coco" / "annotations" / f"instances_{split}.json").write_text(json.dumps(instances()))
    return tmp_path


def classification(root: Path, kind: str = "CustomDataset", **extra: Any) -> Config:
    def loader(split: str) -> dict:
        dataset = {"type": kind, "data_root": str(root / "imagenet"), "data_prefix": split, **extra}
        return {"batch_size": 2, "dataset": dataset}

    return Config({"train_dataloader": loader("train"), "val_dataloader": loader("val")})


def segmentation(root: Path) -> Config:
    def loader(split: str) -> dict:
        prefix = {"img_path": f"images/{split}", "seg_map_path": f"annotations/{split}"}
        return {"dataset": {"type": "ADE20KDataset", "data_root": str(root / "ade20k"), "data_prefix": prefix}}

    return Config({"train_dataloader": loader("training"), "val_dataloader": loader("validation")})


def detection(root: Path) -> Config:
    def loader(split: str) -> dict:
        dataset = {
            "type": "CocoDataset", "data_root": str(root / "coco"), "data_prefix": {"img": f"{split}2017/"},
            "ann_file": f"annotations/instances_{split}2017.json",
        }  # fmt: skip
        return {"dataset": {"type": "RepeatDataset", "times": 2, "dataset": dataset}}

    return Config({"train_dataloader": loader("train"), "val_dataloader": loader("val")})


@pytest.mark.parametrize("make", [classification, segmentation, detection])
def test_whole_data_passes(folders: Path, make: Callable[[Path], Config]) -> None:
    check_datasets(make(folders), ("train", "val", "test"))


@pytest.mark.parametrize(
    ("make", "remove", "message"),
    [
        (classification, "imagenet", r"train data \(CustomDataset\): folder \S+imagenet does not exist.*MIXEDAE_DATA_"),
        (classification, "imagenet/val", r"val data \(CustomDataset\): folder \S+imagenet/val does not exist"),
        (classification, "imagenet/train/dog/0.png", r"train data: 1 of 3 classes in \S+ are empty \(dog\)"),
        (classification, "imagenet/val/emu", r"3 class folders and val 2; 1 are in one of them only \(emu\).*shifted"),
        (segmentation, "ade20k/annotations/validation", r"val data .*folder \S+annotations/validation does not exist"),
        (segmentation, "ade20k/images/training/*", r"train data .*folder \S+images/training holds no file"),
        (segmentation, "ade20k/annotations/training/1.png", r"1 of 2 pictures .* have no mask .*such as 1\.png"),
        (detection, "coco/annotations/instances_train2017.json", r"train data .*annotation file \S+ does not exist"),
        (detection, "coco/val2017", r"val data \(CocoDataset\): folder \S+val2017 does not exist"),
    ],
)
def test_missing_data_is_named(folders: Path, make: Callable[[Path], Config], remove: str, message: str) -> None:
    for path in sorted(folders.glob(remove)):
        for inner in sorted(path.rglob("*"), reverse=True):
            inner.unlink() if inner.is_file() else inner.rmdir()
        path.unlink() if path.is_file() else path.rmdir()
    with pytest.raises(DataError, match=message):
        check_datasets(make(folders))


def test_counts_of_classes(folders: Path) -> None:
    with pytest.raises(DataError, match=r"3 class folders in \S+; expected 1000"):
        check_datasets(classification(folders, "ImageNet"))
    with pytest.raises(DataError, match="expected 2, each"):
        check_datasets(classification(folders, metainfo={"classes": ("cat", "dog")}))
    check_datasets(classification(folders, metainfo={"classes": ("cat", "dog", "emu")}))
    (folders / "imagenet" / "val" / "emu" / "0.png").rename(folders / "imagenet" / "val" / "emu" / "0.txt")
    with pytest.raises(DataError, match="are empty"):
        check_datasets(classification(folders))
    check_datasets(classification(folders, with_label=False))


def test_an_empty_annotation_file_is_refused(folders: Path) -> None:
    (folders / "coco" / "annotations" / "instances_val2017.json").write_text("")
    with pytest.raises(DataError, match=r"val data .*is empty"):
        check_datasets(detection(folders))


def pretraining(kind: str = "mixedae.MixedAE", **changes: Any) -> Config:
    cfg = Config(
        {
            "model": {
                "type": kind,
                "backbone": {"type": "mixedae.MixedAEPretrainViT", "img_size": 64, "patch_size": 8},
            },
            "train_dataloader": {
                "batch_size": 8,
                "drop_last": True,
                "sampler": {"type": "DefaultSampler"},
                "dataset": {"pipeline": [{"type": "LoadImageFromFile"}, {"type": "RandomResizedCrop", "scale": 64}]},
            },
        }
    )
    cfg.merge_from_dict(changes)
    return cfg


@pytest.mark.parametrize("group", [2, 4, 8])
def test_group_sizes_that_divide_the_batch_pass(group: int) -> None:
    check_sizes(pretraining(**{"model.group_size": group}))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model.group_size": 3}, GroupSizeError, "batch_size=8 .* multiple of model.group_size=3"),
        ({"train_dataloader.batch_size": 6}, GroupSizeError, "batch_size=6 .* model.group_size=4"),
        ({"model.group_size": 1}, GroupSizeError, "at least 2"),
        (
            {"model.group_size": 128, "train_dataloader.batch_size": 128},
            GroupSizeError,
            "group_size=128 images share 64 patches",
        ),
        ({"train_dataloader.drop_last": False}, GroupSizeError, "drop_last=True"),
        ({"model.backbone.img_size": 65}, ImageSizeError, "patches of 8 do not divide an image of 65 x 65.* 64 and 72"),
        ({"model.backbone.img_size": (64, 60)}, ImageSizeError, "64 x 60"),
        ({"model.backbone.patch_size": 7}, ImageSizeError, "patches of 7"),
        ({"model.backbone.img_size": 32}, ImageSizeError, "crops to 64, model.backbone.img_size is 32 x 32"),
    ],
)
def test_sizes_that_do_not_fit_are_named(changes: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        check_sizes(pretraining(**changes))


def test_mae_has_no_groups_and_infinite_samplers_no_last_batch() -> None:
    check_sizes(pretraining("mixedae.MAE", **{"train_dataloader.batch_size": 7, "train_dataloader.drop_last": False}))
    infinite = {"train_dataloader.drop_last": False, "train_dataloader.sampler.type": "InfiniteSampler"}
    check_sizes(pretraining(**infinite))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"type": "mixedae.ProgressHook", "intervall": 2}, r"hook .*unknown key `intervall`; did you mean `interval`"),
        ({"type": "mixedae.ProgresHook"}, r"unknown type `mixedae\.ProgresHook`; did you mean `mixedae\.ProgressHook`"),
        ({"type": "mixedae.MixedAEViT", "drop_pth_rate": 0.1}, "did you mean `drop_path_rate`"),
        ({"type": "mixedae.MixedAE", "grup_size": 4}, "did you mean `group_size`"),
        (
            {"type": "mixedae.PretrainedViT", "zzz": 1},
            "known: allow_missing, channels, checkpoint, map_location, part, prefix",
        ),
        ([{"a": {"type": "mixedae.PretrainedViT", "chekpoint": "x"}}], r"hook\[0\]\.a .*did you mean `checkpoint`"),
    ],
)
def test_unknown_keys_are_named_with_the_nearest(node: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_known_keys(Config({"hook": node}))


def test_known_keys_of_parents_and_mmengines_own_pass() -> None:
    check_known_keys(
        Config(
            {
                "backbone": {
                    "type": "mixedae.MixedAEViT",
                    "arch": "b",
                    "img_size": 224,
                    "init_cfg": None,
                    "layer_cfgs": {},
                },
                "hook": {"type": "mixedae.ProgressHook", "priority": "LOW", "_scope_": "mixedae"},
                "other": {"type": "torch.optim.AdamW", "whatever": 1},
            }
        )
    )


def test_walk_names_every_dict() -> None:
    cfg = Config({"a": {"b": [{"c": 1}, ({"d": 2},)]}})
    assert [path for path, _ in walk(cfg)] == ["", "a", "a.b[0]", "a.b[1][0]"]


def test_checkpoints_are_read_before_training(folders: Path) -> None:
    def cfg(**keys: Any) -> Config:
        result = classification(folders)
        init = {"type": "mixedae.PretrainedViT", **keys}
        result.merge_from_dict({"model": {"type": "ImageClassifier", "backbone": {"init_cfg": init}}})
        return result

    with pytest.raises(WeightsError, match=r"--cfg-options model\.backbone\.init_cfg\.checkpoint=FILE"):
        preflight(cfg(checkpoint=None))
    with pytest.raises(WeightsError, match=r"nowhere\.pth does not exist"):
        preflight(cfg(checkpoint="nowhere.pth"))
    good = folders / "good.pth"
    torch.save({"x": torch.ones(100)}, good)
    preflight(cfg(checkpoint=str(good)))
    preflight(cfg(checkpoint="random"))
    good.write_bytes(good.read_bytes()[:-40])
    with pytest.raises(WeightsError, match=r"good\.pth .*truncated"):
        preflight(cfg(checkpoint=str(good)))
    resumed = cfg(checkpoint="random")
    resumed.load_from = str(good)
    with pytest.raises(WeightsError, match=r"good\.pth"):
        preflight(resumed)


@pytest.mark.parametrize("path", sorted((ROOT / "mm_configs").glob("[!_b]*/**/*.py")), ids=lambda path: path.stem)
def test_the_projects_configs_have_known_keys_and_fitting_sizes(path: Path) -> None:
    cfg = Config.fromfile(path)
    check_known_keys(cfg)
    check_sizes(cfg)


@pytest.mark.parametrize(
    ("schedulers", "train_cfg", "message"),
    [
        ([dict(type="LinearLR", begin=0, end=40)], dict(max_epochs=10), r"warms up for 40 epochs, the run ends at 10"),
        ([dict(type="LinearLR", begin=0, end=5), dict(type="CosineAnnealingLR", begin=6)], dict(max_epochs=5),
         r"param_scheduler\[1\] .CosineAnnealingLR. begins at 6 epochs, the run ends at 5"),
        (dict(type="LinearLR", by_epoch=False, end=1500), dict(max_iters=50), r"warms up for 1500 iterations"),
    ],
)  # fmt: skip
def test_a_schedule_longer_than_the_run_is_refused(schedulers: Any, train_cfg: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_schedule(Config({"param_scheduler": schedulers, "train_cfg": train_cfg}))


def test_schedules_that_fit_pass() -> None:
    warmup = dict(type="LinearLR", begin=0, end=500, by_epoch=False)  # its epochs' length is not known before
    check_schedule(Config({"param_scheduler": [warmup], "train_cfg": dict(max_epochs=1)}))
    check_schedule(Config({"param_scheduler": [dict(type="LinearLR", end=0.9)], "train_cfg": dict(max_epochs=1)}))
    check_schedule(Config({}))


def test_classes_that_the_head_does_not_have_are_refused(folders: Path) -> None:
    cfg = classification(folders)
    cfg.model = {"head": {"num_classes": 5}}
    with pytest.raises(DataError, match=r"train data has 3 class folders, model\.head\.num_classes is 5"):
        check_datasets(cfg)
    cfg.model.head.num_classes = 3
    check_datasets(cfg)


def test_less_than_one_batch_is_refused(folders: Path) -> None:
    cfg = classification(folders)
    cfg.train_dataloader.update(batch_size=4, drop_last=True)
    with pytest.raises(DataError, match=r"3 pictures in \S+train, fewer than one batch of 4"):
        check_datasets(cfg)
    cfg.train_dataloader.batch_size = 3
    check_datasets(cfg)


def test_r36_one_kept_checkpoint_is_refused() -> None:
    def cfg(**hook: int) -> Config:
        return Config({"default_hooks": {"checkpoint": {"type": "CheckpointHook", **hook}}})

    with pytest.raises(ConfigError, match=r"max_keep_ckpts=1 .*keep 2 or more"):
        check_retention(cfg(max_keep_ckpts=1))
    for kept in ({"max_keep_ckpts": 2}, {"max_keep_ckpts": -1}, {}):
        check_retention(cfg(**kept))
    check_retention(Config({"default_hooks": {"checkpoint": None}}))
