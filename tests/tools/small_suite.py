"""The quickstart's MAE row and its three transfers with batches that the few pictures of the tests fill twice over."""

from pathlib import Path

import yaml

from mixedae.files import ROOT

BATCHES = {"mae": 8, "mini_cls": 5, "mini_seg": 2, "mini_det": 1}


def write_small_suite(folder: Path) -> Path:
    """Write recipes, task cards and the suite.

    Args:
        folder: for all of them.

    Returns:
        The suite's file.
    """
    configs = ROOT / "mm_configs"
    suite = yaml.safe_load((configs / "benchmark/suites/quickstart.yaml").read_text())
    suite |= {"pretrainings": {"mae": suite["pretrainings"]["mae"]}, "workers": 1}
    suite["pretrainings"]["mae"]["config"] = _smaller(folder, "mae", suite["pretrainings"]["mae"]["config"])
    (folder / "tasks").mkdir(parents=True)
    for task in suite["tasks"]:
        card = yaml.safe_load((configs / f"benchmark/tasks/{task}.yaml").read_text())
        card["recipe"] = _smaller(folder, task, card["recipe"])
        (folder / f"tasks/{task}.yaml").write_text(yaml.safe_dump(card))
    path = folder / "suites/small.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(suite, sort_keys=False))
    return path


def _smaller(folder: Path, name: str, recipe: str) -> str:
    path = folder / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"_base_ = {str(ROOT / recipe)!r}\ntrain_dataloader = dict(batch_size={BATCHES[name]})\n")
    return str(path)
