"""A suite's folder on disk: where each cell lives, what its result would have to be made of, and whether it is."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from mixedae.benchmark.cards import DataPart
from mixedae.benchmark.data import DataRoots, variable
from mixedae.benchmark.files import read_json, write_json
from mixedae.benchmark.launch import LAUNCH, Launch
from mixedae.benchmark.recipe import Recipe, resolve
from mixedae.benchmark.results import Identity, Result, read_result
from mixedae.benchmark.suites import ROOT, Cell, Suite
from mixedae.errors import DataError, MixedAEError, ResultsError

Kind = Literal["done", "failed", "stale", "damaged", "missing", "waiting", "blocked"]


@dataclass(frozen=True)
class State:
    """How a cell stands on disk.

    Attributes:
        kind: ``done`` (valid, and its key is the current one), ``failed``, ``stale`` (made of other content),
            ``damaged``, ``missing``, ``waiting`` (its pre-training is not done), ``blocked`` (its pre-training failed).
        reason: why it is not done; empty where it is.
        result: the result, where there is a valid one.
    """

    kind: Kind
    reason: str = ""
    result: Result | None = None


class Workspace:
    """A suite and its folder.

    Args:
        suite: what to compare.
        folder: where the cells live; default ``work_dirs/<suite>``.
        data: folders of the data by name, over environment and defaults.
        seeds: instead of the suite's.
        root: the repository's root: configs are relative to it and the trainer runs there.
        need_data: False for a table on a machine without the data: fingerprints are then not compared.
        limit: iterations that every run is held to; such cells lie in a folder of their own.
        launch: how a cell's processes are started; default: as the last run of this suite did.
    """

    def __init__(
        self,
        suite: Suite,
        folder: Path | None = None,
        data: Mapping[str, Path] | None = None,
        seeds: tuple[int, ...] | None = None,
        root: Path = ROOT,
        need_data: bool = True,
        limit: int | None = None,
        launch: Launch | None = None,
    ) -> None:
        self.suite = suite
        self.folder = self.given_folder = (folder or root / "work_dirs" / suite.name).absolute()
        if limit is not None:  # beside the full cells, never in their place
            self.folder = self.folder.with_name(f"{self.folder.name}_limit{limit}")
        self.limit = limit
        self.launch = launch or Launch.model_validate(read_json(self.folder / LAUNCH, default={}))
        self.root = root
        self.need_data = need_data
        self.data = DataRoots({**self._last_roots, **(data or {})}, self.folder / "fingerprints.json", root)
        self.cells = suite.cells(seeds)
        self._recipes: dict[str, Recipe] = {}

    @property
    def title(self) -> str:
        """The suite's title, marked where runs are shortened."""
        return self.suite.title if self.limit is None else f"LIMITED to {self.limit} iterations - {self.suite.title}"

    @cached_property
    def _last_roots(self) -> dict[str, Path]:
        """Data folders that the last run was given, for later commands; the environment goes first."""
        remembered = read_json(self.folder / "data.json", default={})
        return {name: Path(folder) for name, folder in remembered.items() if variable(name) not in os.environ}

    def remember_roots(self) -> None:
        """Note the data folders that were given for the next command on this suite."""
        if self.data.given:
            write_json(self.folder / "data.json", {name: str(folder) for name, folder in self.data.given.items()})

    def remember_launch(self) -> None:
        """Note how processes are started: the effective batch of the cells depends on their number."""
        if self.launch != Launch.model_validate(read_json(self.folder / LAUNCH, default={})):
            write_json(self.folder / LAUNCH, self.launch.model_dump())

    def forget(self) -> None:
        """Read configs and look at data again when they are next asked for."""
        self._recipes.clear()
        self.data.forget()

    def dir(self, cell: Cell) -> Path:
        """The cell's folder."""
        return self.folder / cell.name

    def recipe(self, cell: Cell) -> Recipe:
        """The cell's resolved recipe (read once)."""
        config = self.suite.config_of(cell)
        if config not in self._recipes:
            self._recipes[config] = resolve(self.root / config)
        return self._recipes[config]

    def identity(self, cell: Cell) -> Identity | None:
        """What the cell's result must be made of now; None for a transfer whose pre-training is not done.

        Raises:
            ConfigError: the recipe does not resolve.
            DataError: the data is absent.
        """
        parent, weights = self.suite.parent_of(cell), None
        if parent is not None:
            state = self.state(parent)
            if state.kind != "done" or state.result is None or state.result.checkpoint is None:
                return None
            weights = state.result.checkpoint.sha256
        recipe = self.recipe(cell)
        return Identity(
            weights_sha256=weights,
            recipe_hash=recipe.hash,
            dataset_fingerprint=self._fingerprint(self.suite.data_of(cell)),
            card_version=self.suite.cards[cell.task].version if cell.task else None,
            seed=cell.seed,
            effective_batch=recipe.batch * self.launch.world_size,
            precision=recipe.precision,
            limit=self.limit,
        )

    def epochs(self, pretraining: str) -> float | None:
        """Epochs of a pre-training as its recipe plans them, else as its runs recorded them; None without either."""
        if self.suite.pretrainings[pretraining].config is None:
            return None
        cells = [cell for cell in self.cells if cell.pretraining == pretraining and cell.task is None]
        for cell in cells:
            try:
                if (planned := self.recipe(cell).epochs) is not None:
                    return planned
                if (result := read_result(self.dir(cell))) is not None and result.run is not None:
                    return result.run.epochs
            except MixedAEError:  # it is shown as missing, with this reason
                continue
        return None

    def data_absent(self, cell: Cell) -> bool:
        """Whether the cell's data is not on this machine."""
        return self._fingerprint(self.suite.data_of(cell)) is None

    def _fingerprint(self, part: DataPart) -> str | None:
        try:
            return self.data.fingerprint(part)
        except DataError:
            if self.need_data:
                raise
            return None

    def state(self, cell: Cell) -> State:
        """How the cell stands on disk; never raises for what lies in its folder."""
        parent = self.suite.parent_of(cell)
        if parent is not None and (before := self.state(parent)).kind != "done":
            if before.kind == "failed":
                return State("blocked", f"not run: pre-training failed ({before.reason})")
            return State("waiting", f"its pre-training is not done ({before.reason})")
        try:
            result = read_result(self.dir(cell))
        except ResultsError as error:
            return State("damaged", str(error))
        if result is None:
            return State("missing", "not run yet")
        try:
            current = self.identity(cell)
        except MixedAEError as error:
            return State("stale", f"cannot be checked: {error}", result)
        assert current is not None  # the parent is done
        if current.dataset_fingerprint is None:
            current = current.model_copy(update={"dataset_fingerprint": result.identity.dataset_fingerprint})
        if changes := result.identity.changes(current):
            return State("stale", changes, result)
        if result.status == "failed":
            return State("failed", result.reason or "", result)
        if cell.task is None and result.checkpoint and not result.checkpoint.holds(self.dir(cell)):
            return State("damaged", f"{self.dir(cell) / result.checkpoint.file} is absent or is no longer what it was")
        return State("done", "", result)
