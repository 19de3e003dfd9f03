"""A small suite on disk for the fake trainer: configs, cards, suite, data. Run as a script it runs that suite."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from mixedae.benchmark.plan.cells import Cell, matching
from mixedae.benchmark.plan.recipe import Recipe, read_config, recipe_of
from mixedae.benchmark.plan.suites import load_suite
from mixedae.benchmark.report.page import write_report
from mixedae.benchmark.run.board import Board, PlainBoard
from mixedae.benchmark.run.runner import SuiteRunner
from mixedae.benchmark.store.settings import Request
from mixedae.benchmark.store.survey import State, Survey
from mixedae.benchmark.store.workspace import Workspace
from mixedae.benchmark.table.compare import Comparison, compare
from mixedae.benchmark.table.render import RENDERERS, rich_table

TRAINER = (sys.executable, str(Path(__file__).with_name("fake_trainer.py")))
POLL = 0.02
AXES = {"lr": [0.1, 0.01], "wd": [0.0, 0.001]}
KEYS = {"optim_wrapper.optimizer.lr": "lr", "optim_wrapper.optimizer.weight_decay": "wd / lr"}
SEARCH: dict[str, Any] = {"axes": AXES, "keys": KEYS, "overlay": "selection"}


class FakeSuite:
    """Three pre-trainings (one random) and two tasks below ``root``."""

    def __init__(self, root: Path, seeds: tuple[int, ...] = (0,), workers: int = 1) -> None:
        self.root = root
        for name in ("cls", "det"):
            self.write_card(name, version=1)
        for folder in ("pretrain", "train", "val"):
            (root / "data" / folder).mkdir(parents=True)
            (root / "data" / folder / "a.txt").write_text(folder)
        for name in ("mae", "mixedae", "cls", "det"):
            self.write_config(name)
        self.write_suite(seeds=list(seeds), workers=workers)
        self.folder = root / "work"

    @property
    def path(self) -> Path:
        return self.root / "suites" / "fake.yaml"

    def write_config(self, name: str, **fake: Any) -> None:
        fake.setdefault("value", name)
        text = (
            "train_dataloader = dict(batch_size=8)\n"
            "optim_wrapper = dict(type='OptimWrapper', optimizer=dict(lr=0.01, weight_decay=0.0))\n"
            "train_cfg = dict(max_iters=100, val_interval=100)\n"
            "param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=100)]\n"
            "selection = dict(val_dataloader=dict(part='val'))\n"
            "custom_hooks = [dict(type='mixedae.RunRecordHook'), dict(type='mixedae.EffectiveBatchHook')]\n"
            f"fake = {fake!r}\n"
        )
        (self.root / f"{name}.py").write_text(text)

    def write_card(self, name: str, version: int, **more: Any) -> None:
        metrics = {
            "cls": [{"key": "accuracy/top1", "name": "top-1"}],
            "det": [{"key": "coco/bbox_mAP", "name": "box AP", "scale": 100, "zero_when_absent": True}],
        }
        card = {
            "name": name,
            "title": name.upper(),
            "dataset": "none",
            "data": {"name": "toy", "paths": ["train", "val"]},
            "splits": {"train": 10, "val": 20},
            "evaluated_on": "val",
            "metrics": metrics[name],
            "protocol": "fake",
            "version": version,
            "recipe": str(self.root / f"{name}.py"),
        }
        self._dump(self.root / "tasks" / f"{name}.yaml", card | more)

    def write_suite(self, **more: Any) -> None:
        suite = {
            "title": "Fake",
            "watermark": "Not real",
            "pretraining_data": {"name": "toy", "paths": ["pretrain"]},
            "pretrainings": {
                "random": {"random": True, "title": "random init"},
                "mae": {"config": str(self.root / "mae.py"), "title": "MAE"},
                "mixedae": {"config": str(self.root / "mixedae.py"), "title": "MixedAE"},
            },
            "baseline": "mae",
            "tasks": ["cls", "det"],
        }
        self._dump(self.path, suite | more)

    @staticmethod
    def _dump(path: Path, data: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(data, sort_keys=False))

    def workspace(self, **arguments: Any) -> Workspace:
        """The suite and its folder; arguments as for a request."""
        given = {"data": {"toy": self.root / "data"}, "folder": self.folder} | arguments
        return Workspace(load_suite(self.path), Request(**given))

    def survey(self, **arguments: Any) -> Survey:
        """A look at the suite's folder; arguments as for a request."""
        return Survey(self.workspace(**arguments))

    def state(self, cell: Cell, **arguments: Any) -> State:
        """How a cell stands now."""
        return self.survey(**arguments).state(cell)

    def run(
        self,
        only: str | None = None,
        board: Board | None = None,
        force: bool = False,
        retries: int = 0,
        **arguments: Any,
    ) -> tuple[int, SuiteRunner]:
        workspace = self.workspace(**arguments)
        forced = matching(workspace.cells, only) if force else ()
        runner = SuiteRunner(workspace, board or Board(), TRAINER, poll=POLL, grace=1.0, force=forced, retries=retries)
        return runner.run(workspace.suite.select(workspace.cells, only)), runner

    def comparison(self, **arguments: Any) -> Comparison:
        return compare(self.survey(need_data=False, **arguments))

    def report(self, path: Path, **arguments: Any) -> str:
        """The text of the suite's report."""
        return write_report(self.survey(**arguments), path).read_text()


class SearchedSuite(FakeSuite):
    """Two rows without pre-training, one task with a search of two by two, one without."""

    def __init__(self, root: Path, scores: dict[str, float | None], **search: Any) -> None:
        super().__init__(root)
        self.score(scores)
        self.write_config("cls", value="cls", scores=str(root / "scores.json"))
        self.search(**search)
        (root / "given.pth").write_text("weights")
        rows = {"random": {"random": True}, "given": {"checkpoint": str(root / "given.pth"), "title": "Given"}}
        self.write_suite(pretrainings=rows, baseline="random", tasks=["cls"])

    def search(self, **changes: Any) -> None:
        self.write_card("cls", version=1, splits={"train": 10, "val": 20, "chosen": 5}, selected_on="chosen")
        card = yaml.safe_load((self.root / "tasks/cls.yaml").read_text())
        card["search"] = SEARCH | changes
        if card["search"]["overlay"] is None:
            del card["selected_on"]
        self._dump(self.root / "tasks/cls.yaml", card)

    def score(self, scores: dict[str, float | None]) -> None:
        (self.root / "scores.json").write_text(json.dumps(scores))

    def names(self) -> list[str]:
        return [cell.name for cell in self.workspace().cells]


def resolved(path: Path) -> Recipe:
    """The recipe of a config as it stands."""
    return recipe_of(read_config(path), path)


def renderings(comparison: Comparison) -> dict[str, str]:
    """Every rendering of a table as text, the terminal's too."""
    console = Console(file=io.StringIO(), width=200, record=True)
    console.print(rich_table(comparison))
    return {"rich": console.export_text(), **{name: render(comparison) for name, render in RENDERERS.items()}}


if __name__ == "__main__":
    suite = FakeSuite.__new__(FakeSuite)
    suite.root, suite.folder = Path(sys.argv[1]), Path(sys.argv[2])
    sys.exit(suite.run(board=PlainBoard(Console(file=sys.stdout, width=200)))[0])
