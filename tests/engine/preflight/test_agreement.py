"""One number, one place: every recipe agrees with itself, and a change of one of two keys is named with both."""

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mixedae.engine.preflight.agreement import check_agreement
from mixedae.errors import ConfigError
from mixedae.files import ROOT

CONFIGS = ROOT / "mm_configs"
RECIPES = sorted(path for path in CONFIGS.rglob("*.py") if "_base_" not in path.parts and path.name != "base.py")
PRETRAIN = "pretrain/mixedae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py"
FINETUNE = "classification/mixedae-vit-base-p16_8xb128-amp-coslr-100e_in1k.py"
SEGMENT = "mini/segmentation/mixedae-vit-mini_upernet_1xb4-20e_mini-128x128.py"
DETECT = "mini/detection/cascade-mask-rcnn_mixedae-vit-mini_fpn_10e_mini.py"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_agrees_with_itself(path: Path) -> None:
    cfg = Config.fromfile(path)
    if cfg.get("model"):
        check_agreement(cfg)


@pytest.mark.parametrize(
    ("config", "key", "value", "words"),
    [
        (
            FINETUNE,
            "model.head.num_classes",
            10,
            ("model.head.num_classes is 10", "data_preprocessor.num_classes is 1000"),
        ),
        (FINETUNE, "model.head.in_channels", 384, ("width is 768", "model.head.in_channels is 384")),
        (FINETUNE, "model.backbone.img_size", 384, ("model.backbone.img_size is (384, 384)", "RandomResizedCrop")),
        (FINETUNE, "model.backbone.in_channels", 1, ("model.backbone.in_channels is 1", "data_preprocessor.mean is 3")),
        (
            SEGMENT,
            "model.auxiliary_head.num_classes",
            3,
            ("model.decode_head.num_classes is 11", "model.auxiliary_head"),
        ),
        (SEGMENT, "train_dataloader.dataset.metainfo.classes", ("a", "b"), ("metainfo.classes is 2",)),
        (SEGMENT, "model.data_preprocessor.size", (64, 64), ("model.data_preprocessor.size is (64, 64)",)),
        (SEGMENT, "model.test_cfg.crop_size", (64, 64), ("model.test_cfg.crop_size is (64, 64)",)),
        (SEGMENT, "model.neck.in_channels", 64, ("embed_dims is 96", "model.neck.in_channels is 64")),
        (
            DETECT,
            "model.roi_head.mask_head.num_classes",
            80,
            ("bbox_head[0].num_classes is 10", "mask_head.num_classes"),
        ),
        (PRETRAIN, "model.neck.num_patches", 49, ("in patches is 196", "model.neck.num_patches is 49")),
        (PRETRAIN, "model.neck.patch_size", 8, ("model.backbone.patch_size is 16", "model.neck.patch_size is 8")),
        (PRETRAIN, "model.head.embed_dims", 384, ("model.head.embed_dims is 384",)),
    ],
)
def test_both_keys_are_named(config: str, key: str, value: Any, words: tuple[str, ...]) -> None:
    cfg = Config.fromfile(CONFIGS / config)
    cfg.merge_from_dict({key: value})
    with pytest.raises(ConfigError) as caught:
        check_agreement(cfg)
    assert all(word in str(caught.value) for word in words), caught.value
