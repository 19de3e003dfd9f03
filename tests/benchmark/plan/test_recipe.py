"""Recipes: what is a part of the hash, and what a limit sets."""

from pathlib import Path

import pytest

from mixedae.benchmark.plan.recipe import WATCHING_HOOKS, Recipe, Variant, limit_options, read_config, recipe_of
from mixedae.files import ROOT
from tests.benchmark.fake_suite import resolved


def test_hooks_that_only_watch_are_no_part_of_the_recipe(tmp_path: Path) -> None:
    base = "train_dataloader = dict(batch_size=8)\noptim_wrapper = dict(type='OptimWrapper')\n"
    hooks = {
        "none": "custom_hooks = [dict(type='A')]",
        "watching": f"custom_hooks = [dict(type='A'), {', '.join(f'dict(type={name!r})' for name in WATCHING_HOOKS)}]",
        "acting": "custom_hooks = [dict(type='A'), dict(type='EMAHook')]",
    }
    for name, line in hooks.items():
        (tmp_path / f"{name}.py").write_text(f"{base}{line}\n")
    found = {name: resolved(tmp_path / f"{name}.py").hash for name in hooks}
    assert found["none"] == found["watching"] != found["acting"]


@pytest.mark.parametrize(("epochs", "key"), [(None, "train_cfg.max_iters=2"), (300, "train_cfg.max_epochs=1")])
def test_a_limit_counts_iterations(epochs: int | None, key: str) -> None:
    iterations = None if epochs else 5000
    recipe = Recipe(
        "", batch=32, precision="fp32", loader_batch=16, epochs=epochs, iterations=iterations, validates=True
    )
    options = limit_options(recipe, 2, processes=3)
    assert key in options and "val_dataloader.dataset.indices=96" in options
    assert ("train_dataloader.dataset.indices=96" in options) == (epochs is not None)


@pytest.mark.parametrize("overlay", [None, "selection", "adamw", "linear", "knn", "resnet50", "unit_range"])
def test_a_limit_of_a_small_set(overlay: str | None) -> None:
    """Frozen features are read in one pass: its loop takes no number of iterations."""
    path = ROOT / "mm_configs/mini/classification/small_tiny-imagenet.py"
    config = read_config(path)
    variant = Variant(str(path), (overlay,) if overlay else ())
    recipe, (merged, _) = recipe_of(config, path, variant), variant.merge(config, path)
    limited = {option.partition("=")[0] for option in limit_options(recipe, 2)}
    assert "val_dataloader.dataset.indices" in limited
    trains = merged.train_cfg.type == "IterBasedTrainLoop"
    assert trains == (overlay not in ("linear", "knn"))
    assert ("train_cfg.max_iters" in limited) == trains and "train_dataloader.dataset.indices" not in limited


LEAVES = [path for path in sorted((ROOT / "mm_configs").glob("**/*.py")) if "_base_" not in path.parts]


@pytest.mark.parametrize("config", LEAVES, ids=lambda path: path.stem)
def test_a_limit_names_keys_that_the_recipes_have(config: Path) -> None:
    from mmengine.config import Config

    recipe, cfg = resolved(config), Config.fromfile(config)
    for option in limit_options(recipe, 2):
        *parents, _ = option.partition("=")[0].split(".")
        node = cfg
        for parent in parents:
            assert parent in node, option
            node = node[parent]
