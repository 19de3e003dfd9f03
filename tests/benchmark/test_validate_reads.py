"""What a suite or a card says of its data is compared with the folders that the config's loaders read."""

import pytest

from mixedae.benchmark.plan.cards import DataPart
from mixedae.benchmark.plan.recipe import Recipe, read_config, recipe_of
from mixedae.benchmark.validate import _check_reads
from mixedae.errors import ConfigError
from mixedae.files import ROOT

MINI = "mm_configs/mini/pretrain/mae_vit-mini-p8_1xb64-coslr-15e_mini.py"


def reads(config: str) -> tuple[str, ...]:
    return recipe_of(read_config(ROOT / config), ROOT / config).reads


def test_folders_of_a_recipe() -> None:
    assert reads(MINI) == ("data/mini/imagenet/pretrain",)
    assert reads("mm_configs/mini/detection/cascade-mask-rcnn_mixedae-vit-mini_fpn_10e_mini.py") == (
        "data/mini/coco/train2017",
        "data/mini/coco/val2017",
    )


@pytest.mark.parametrize(
    ("part", "fits"),
    [
        (DataPart(name="mini"), True),
        (DataPart(name="mini", paths=("imagenet/pretrain",)), True),
        (DataPart(name="mini", paths=("imagenet/train", "imagenet/val")), False),
        (DataPart(name="imagenet"), False),
        (DataPart(name="other", folder="data/mini"), True),
    ],
)
def test_a_claim_about_data_is_held_against_the_loaders(part: DataPart, fits: bool) -> None:
    recipe = Recipe("", 1, "fp32", reads=reads(MINI))
    if fits:
        _check_reads(recipe, MINI, part)
        return
    with pytest.raises(ConfigError, match="reads data/mini/imagenet/pretrain, but the data is said to be"):
        _check_reads(recipe, MINI, part)
