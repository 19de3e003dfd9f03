"""Recipe hashes that results were made under. A change of one would make finished cells stale, so it must be meant."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.recipe import Variant, read_config, recipe_of
from mixedae.benchmark.plan.suites import BENCHMARK, load_suite
from mixedae.files import ROOT
from mixedae.overlays import overlays_of

STORED: dict[str, str] = json.loads(Path(__file__).with_name("recipe_hashes.json").read_text())
read = cache(read_config)


def hash_of(variant: Variant) -> str:
    path = ROOT / variant.config
    return recipe_of(read(path), path, variant).hash


def variant_of(name: str) -> Variant:
    """``path``, ``path + overlay`` or ``suite: row``."""
    suite, row = name.split(": ") if ": " in name else ("", "")
    if suite:
        return load_suite(BENCHMARK / "suites" / f"{suite}.yaml").variant_of(Cell(row, None, 0), None)
    config, *overlays = name.split(" + ")
    return Variant(config, tuple(overlays))


@pytest.mark.parametrize("name", STORED)
def test_the_hash_is_what_it_was(name: str) -> None:
    assert hash_of(variant_of(name)) == STORED[name]


def test_every_small_recipe_is_stored() -> None:
    found: set[Any] = set()
    for folder in ("mini", "classification/small"):
        for path in (ROOT / "mm_configs" / folder).rglob("*.py"):
            name = str(path.relative_to(ROOT))
            found |= {name, *(f"{name} + {overlay}" for overlay in overlays_of(read(path)))}
    assert found == {name for name in STORED if ": " not in name}
