"""`batch_size` of a config is the batch of one optimizer step over all processes, the one its learning rate is for."""

import ast
import re
from functools import cache

import pytest

from mixedae.benchmark.plan.recipe import read_config

from .recipe import CONFIGS

LEAVES = sorted(path for path in CONFIGS.rglob("*.py") if "_base_" not in path.parts)
read = cache(read_config)


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: path.stem)
def test_batch_size_is_the_batch_of_a_step(path) -> None:
    cfg = read(path)
    processes, scaling = cfg.get("num_gpus", 1), cfg.get("auto_scale_lr")
    named = re.search(r"_(\d+)xb(\d+)-", path.stem)
    assert ("batch_size" in cfg) == bool(scaling)
    if scaling:
        assert cfg.batch_size == scaling.base_batch_size == processes * cfg.train_dataloader.batch_size
        assert named is None or (processes, cfg.train_dataloader.batch_size) == (int(named[1]), int(named[2]))


def test_every_base_calls_it_so_and_says_what_it_is() -> None:
    found = 0
    for path in (CONFIGS / "_base_").rglob("*.py"):
        lines = path.read_text().splitlines()
        for node in ast.parse("\n".join(lines)).body:
            names = [
                name.id
                for target in getattr(node, "targets", [])
                for name in ast.walk(target)
                if isinstance(name, ast.Name)
            ]
            others = {name for name in names if re.search("batch|per_gpu", name)} - {"batch_size"}
            assert not others, f"{path}: {others}"
            if "batch_size" in names:
                assert lines[node.lineno - 1].endswith("# all processes together: the batch that lr is for"), path
                found += 1
    assert found >= 10
