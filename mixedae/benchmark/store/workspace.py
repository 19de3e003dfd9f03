"""A suite's folder on disk: where each cell lives, and the configs, data and checkpoint files that it is made of."""

import os
from pathlib import Path
from typing import Any

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.recipe import Recipe, Variant, read_config, recipe_of
from mixedae.benchmark.plan.suites import Suite
from mixedae.benchmark.store.data_roots import DataRoots, variable
from mixedae.benchmark.store.settings import Request, read_settings
from mixedae.datasets.fingerprint import content_hash
from mixedae.errors import DataError, WeightsError
from mixedae.files import ROOT

ELSEWHERE = "elsewhere.json"
"""Beside a result that was imported (:mod:`mixedae.benchmark.store.exchange`), which has no checkpoint here."""


class Workspace:
    """A suite and its folder. How its cells stand is looked up by :class:`mixedae.benchmark.store.survey.Survey`.

    Args:
        suite: what to compare.
        request: what the command was given.
        root: the repository's root: configs are relative to it and the trainer runs there.

    Raises:
        ResultsError: the folder's settings are damaged.
    """

    def __init__(self, suite: Suite, request: Request | None = None, root: Path = ROOT) -> None:
        self.request = request = request or Request()
        self.root = root
        self.limit = request.limit
        self.folder = (request.folder or root / "work_dirs" / suite.name).absolute()
        if self.limit is not None:  # beside the full cells, never in their place
            self.folder = self.folder.with_name(f"{self.folder.name}_limit{self.limit}")
        self.settings = read_settings(self.folder).with_request(request)
        self.launch = self.settings.launch
        self.checkpoints = self.settings.checkpoints
        self.suite = suite.with_checkpoints(self.checkpoints)
        remembered = {name: root for name, root in self.settings.data.items() if variable(name) not in os.environ}
        self.data = DataRoots({**remembered, **request.data}, self.folder / "fingerprints.json", root)
        self.cells = self.suite.cells(request.seeds)
        self._contents: dict[tuple[Path, int, int], str] = {}
        self._configs: dict[str, Any] = {}
        self._recipes: dict[Variant, Recipe] = {}

    @property
    def title(self) -> str:
        """The suite's title, marked if runs are shortened."""
        return self.suite.title if self.limit is None else f"LIMITED to {self.limit} iterations - {self.suite.title}"

    @property
    def seeds_on_disk(self) -> tuple[int, ...]:
        """The suite's seeds and every other seed that has a result in the folder."""
        found = {int(path.parent.name[5:]) for path in self.folder.glob("*/*/seed_*/result.json")}
        return tuple(sorted(found | set(self.suite.seeds)))

    def remember(self) -> None:
        """Note what this command was given, for the next command on the suite."""
        self.settings.write(self.folder)

    def forget(self) -> None:
        """Read configs and look at data again when they are next asked for."""
        self._configs.clear()
        self._recipes.clear()
        self.data.forget()

    def dir(self, cell: Cell) -> Path:
        """The cell's folder."""
        return self.folder / cell.name

    def recipe(self, variant: Variant) -> Recipe:
        """A resolved recipe; each config is read once.

        Raises:
            ConfigError: the recipe does not resolve.
        """
        if variant not in self._recipes:
            path = self.root / variant.config
            if variant.config not in self._configs:
                self._configs[variant.config] = read_config(path)
            self._recipes[variant] = recipe_of(self._configs[variant.config], path, variant)
        return self._recipes[variant]

    def checkpoint_file(self, pretraining: str) -> Path | None:
        """The file that takes the place of a pre-training; None for any other row.

        Raises:
            WeightsError: the file does not exist.
        """
        file = self.suite.pretrainings[pretraining].checkpoint
        if file is None:
            return None
        path = self.root / file
        if not path.is_file():
            raise WeightsError(
                f"pre-training `{pretraining}`: {path} does not exist; name its checkpoint by --checkpoint "
                f"{pretraining}=FILE, or choose other rows by --only"
            )
        return path

    def weights_absent(self, cell: Cell) -> bool:
        """Whether the cell's checkpoint file is absent here, and the command (a table) can do without it."""
        file = self.suite.pretrainings[cell.pretraining].checkpoint
        need = self.request.need_data or cell.task is None
        return not need and file is not None and not (self.root / file).is_file()

    def content(self, path: Path) -> str:
        """A checkpoint file's sha256, computed once as long as its size and time stay."""
        status = path.stat()
        key = (path, status.st_size, status.st_mtime_ns)
        if key not in self._contents:
            self._contents[key] = content_hash(path)
        return self._contents[key]

    def fingerprint(self, cell: Cell) -> str | None:
        """sha256 of the data that the cell reads; None if the data is not here and need not be.

        Raises:
            DataError: the data is absent.
        """
        try:
            return self.data.fingerprint(self.suite.data_of(cell))
        except DataError:
            if self.request.need_data:
                raise
            return None
