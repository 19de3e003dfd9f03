"""The suites of the eleven small sets: their cards against the recipes, their searches against the protocol's grids."""

from functools import cache
from pathlib import Path

import pytest

import mixedae.benchmark.store.workspace
from mixedae.benchmark.plan.cards import HELD_OUT
from mixedae.benchmark.plan.recipe import Variant, read_config
from mixedae.benchmark.plan.suites import BENCHMARK, load_suite
from mixedae.benchmark.store.settings import Request
from mixedae.benchmark.store.workspace import Workspace
from mixedae.benchmark.validate import check_recipes
from mixedae.datasets.held_out import PARTS
from mixedae.files import ROOT

SUITES = ("eleven", "eleven_adamw", "eleven_linear", "eleven_knn", "eleven_resnet50")
SGD = (
    {"lr": (0.1, 0.01, 0.001, 0.0001), "wd": (0, 1e-6, 1e-5, 1e-4, 1e-3)},
    {"optim_wrapper.optimizer.lr": 0.01, "optim_wrapper.optimizer.weight_decay": 1e-3},
)
SEARCHED = {  # suite to its grid, and what the recipe has without a search
    "eleven": SGD,
    "eleven_adamw": (
        {"lr": (6.25e-5, 1.25e-4, 2.5e-4, 5e-4), "decay": (0.65, 0.75)},
        {"optim_wrapper.optimizer.lr": 1.25e-4, "optim_wrapper.paramwise_cfg.layer_decay_rate": 0.65},
    ),
    "eleven_resnet50": SGD,
}
METRICS = {"single-label/recall": "recall", "accuracy/top1": "Accuracy", "voc07/mAP_11": "mixedae.VOC07Metric"}


@pytest.fixture(scope="module", autouse=True)
def configs() -> object:
    """Each recipe is read once for the whole module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixedae.benchmark.store.workspace, "read_config", cache(read_config))
        yield


def workspace(name: str, tmp_path: Path) -> Workspace:
    return Workspace(load_suite(BENCHMARK / "suites" / f"{name}.yaml"), Request(folder=tmp_path))


@pytest.mark.parametrize("name", SUITES)
def test_every_point_resolves(name: str, tmp_path: Path) -> None:
    found = workspace(name, tmp_path)
    assert check_recipes(found, found.cells) == []
    points = {"eleven": 20, "eleven_resnet50": 20, "eleven_adamw": 8}.get(name, 0)
    assert len(found.cells) == len(found.suite.pretrainings) * 11 * (points + 1)


@pytest.mark.parametrize("name", SEARCHED)
def test_the_search_is_the_protocols_grid(name: str, tmp_path: Path) -> None:
    """The recipe's own values are a point of it, which changes nothing."""
    found = workspace(name, tmp_path)
    axes, middle = SEARCHED[name]
    search = found.suite.search
    assert search is not None and search.axes == axes
    (point,) = [point for point, options in search.points.items() if options == pytest.approx(middle)]
    for cell in found.cells[:21]:
        if cell.point is None:
            plain, chosen = (found.suite.variant_of(cell, which) for which in (None, point))
            hashes = [_hash(variant) for variant in (plain, chosen)]
            assert hashes[0] == hashes[1]


def _hash(variant: Variant) -> str:
    from mixedae.benchmark.plan.recipe import recipe_of

    path = ROOT / variant.config
    return recipe_of(mixedae.benchmark.store.workspace.read_config(path), path, variant).hash


def test_the_cards_say_what_the_recipes_do(tmp_path: Path) -> None:
    found = workspace("eleven", tmp_path)
    columns = set(found.suite.published.tables["mixedae_table2"].columns)
    assert {card.metrics[0].published for card in found.suite.cards.values()} == columns - {"average"}
    for card in found.suite.cards.values():
        config = mixedae.benchmark.store.workspace.read_config(ROOT / card.recipe)
        expected, splits = config.pictures.expected, dict(card.splits)
        held_out = splits.pop(HELD_OUT, None)
        each = {part: n * expected.classes for part, n in expected.get("each", {}).items()}
        assert splits == {**each, **{part: n for part, n in expected.items() if part in PARTS}}
        assert held_out in (None, splits["trainval"] // 5)
        assert (card.selected_on == "val") == ("val" in splits)
        metric = config.val_evaluator
        assert METRICS[card.metrics[0].key] in (metric.type, *metric.get("items", ()))
        folder = str(config.pictures.dataset.data_root)
        assert folder == card.data.folder, "where the recipe looks without a variable"
