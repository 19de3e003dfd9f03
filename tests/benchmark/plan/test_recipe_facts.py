"""What a config says of itself, and what validation makes of it."""

import pytest

from mixedae.benchmark.plan.recipe import Recipe, read_config, recipe_of
from mixedae.benchmark.plan.recipe_facts import measured_by
from mixedae.benchmark.validate import TRANSFERRED, _check_encoder
from mixedae.errors import ConfigError
from mixedae.files import ROOT


def test_probes_say_what_they_measure() -> None:
    layers = {"train_cfg": {"type": "mixedae.LayerProbeLoop"}, "model": {"backbone": {"out_indices": (0, 3)}}}
    assert measured_by(layers) == {"layers/knn_1", "layers/linear_1", "layers/knn_4", "layers/linear_4"}
    knn = {"train_cfg": {"type": "mixedae.KNNProbeLoop", "ks": (10, 20), "choose": False}}
    assert measured_by(knn) == {"knn/top1_k10", "knn/top1_k20"}
    chosen = {"train_cfg": {"type": "mixedae.KNNProbeLoop"}, "val_evaluator": {"type": "Accuracy"}}
    assert measured_by(chosen) == {"accuracy/top1"}
    assert measured_by({"val_evaluator": {"type": "Other"}}) is None


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("MixedAEPretrainViT", True),
        ("VisionTransformer", True),
        ("MaskedViT", True),
        ("ResNet", True),
        ("SimMIMSwinTransformer", False),
        ("MAEHiViT", False),
        ("iTPNHiViT", False),
        ("MixMIMPretrainTransformer", False),
        ("ConvNeXt", False),
    ],
)
def test_what_has_no_transfer_is_said_before_it_is_trained(name: str, taken: bool) -> None:
    assert bool(TRANSFERRED.search(name)) == taken
    recipe = Recipe("", 1, "fp32", encoder=f"mmpretrain.{name}")
    _check_encoder(recipe, "x.py", ())  # pre-training alone is fine
    if taken:
        _check_encoder(recipe, "x.py", ["cls"])
        return
    with pytest.raises(ConfigError, match=f"pre-trains a {name}, which no transfer takes"):
        _check_encoder(recipe, "x.py", ["cls", "seg"])
    _check_encoder(Recipe("", 1, "fp32", encoder=name, modules=("mine",)), "x.py", ["cls"])


def test_the_encoder_of_every_pretraining_is_read() -> None:
    for path in sorted((ROOT / "mm_configs/pretrain").glob("*.py")):
        encoder = recipe_of(read_config(path), path).encoder
        assert TRANSFERRED.search(encoder), path
