"""A suite's folder on disk: where each cell lives, what its result would have to be made of, and whether it is."""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mixedae.benchmark.plan.cards import DataPart
from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.launch import LAUNCH, Launch
from mixedae.benchmark.plan.recipe import Recipe, Variant, read_config, recipe_of
from mixedae.benchmark.plan.suites import Suite
from mixedae.benchmark.store.choosing import chosen_cell, obstacle, point_of
from mixedae.benchmark.store.data_roots import DataRoots, variable
from mixedae.benchmark.store.results import Identity, read_result
from mixedae.benchmark.store.states import Known, State
from mixedae.datasets.fingerprint import content_hash
from mixedae.errors import DataError, MixedAEError, ResultsError, WeightsError
from mixedae.files import ROOT, read_json, write_json

CHECKPOINTS = "checkpoints.json"  # in the suite's folder: the files that the last run was given for its rows


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
        checkpoints: rows whose pre-training is a file; default: as the last run of this suite was told.
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
        checkpoints: Mapping[str, Path] | None = None,
    ) -> None:
        self.folder = self.given_folder = (folder or root / "work_dirs" / suite.name).absolute()
        if limit is not None:  # beside the full cells, never in their place
            self.folder = self.folder.with_name(f"{self.folder.name}_limit{limit}")
        self.limit = limit
        self.launch = launch or Launch.model_validate(read_json(self.folder / LAUNCH, default={}))
        self._given_checkpoints = dict(checkpoints or {})
        remembered = read_json(self.folder / CHECKPOINTS, default={})
        self.checkpoints = {**{name: Path(file) for name, file in remembered.items()}, **self._given_checkpoints}
        self.suite = suite.with_checkpoints(self.checkpoints)
        self.root = root
        self.need_data = need_data
        self.data = DataRoots({**self._last_roots, **(data or {})}, self.folder / "fingerprints.json", root)
        self.cells = self.suite.cells(seeds)
        self._contents: dict[tuple[Path, int, int], str] = {}
        self._configs: dict[str, Any] = {}
        self._recipes: dict[Variant, Recipe] = {}

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

    def remember_checkpoints(self) -> None:
        """Note the checkpoint files that were given for the next command on this suite, beside those of others."""
        if given := {name: str(file) for name, file in self._given_checkpoints.items()}:
            write_json(self.folder / CHECKPOINTS, {**read_json(self.folder / CHECKPOINTS, default={}), **given})

    def remember_launch(self) -> None:
        """Note how processes are started: the effective batch of the cells depends on their number."""
        if self.launch != Launch.model_validate(read_json(self.folder / LAUNCH, default={})):
            write_json(self.folder / LAUNCH, self.launch.model_dump())

    def forget(self) -> None:
        """Read configs and look at data again when they are next asked for."""
        self._configs.clear()
        self._recipes.clear()
        self.data.forget()

    def dir(self, cell: Cell) -> Path:
        """The cell's folder."""
        return self.folder / cell.name

    def variant(self, cell: Cell, known: Known | None = None) -> Variant:
        """What the cell trains; before its search is done, the recipe without the values that it will choose."""
        return self.suite.variant_of(cell, point_of(self, cell, {} if known is None else known))

    def recipe(self, cell: Cell, known: Known | None = None) -> Recipe:
        """The cell's resolved recipe (read once)."""
        variant = self.variant(cell, known)
        if variant not in self._recipes:
            path = self.root / variant.config
            if variant.config not in self._configs:
                self._configs[variant.config] = read_config(path)
            self._recipes[variant] = recipe_of(self._configs[variant.config], path, variant)
        return self._recipes[variant]

    def weights(self, cell: Cell) -> Path | None:
        """The checkpoint file that a transfer starts from; None for random initialisation and for a pre-training.

        Raises:
            ResultsError: the pre-training is not done.
            WeightsError: the file does not exist.
        """
        row = self.suite.pretrainings[cell.pretraining]
        parent = self.suite.parent_of(cell)
        if parent is not None:
            state = self.state(parent)
            if state.kind != "done" or state.result is None or state.result.checkpoint is None:
                raise ResultsError(f"the pre-training of {cell.name} is not done: {state.reason}")
            return self.dir(parent) / state.result.checkpoint.file
        if cell.task is None or row.checkpoint is None:
            return None
        path = self.root / row.checkpoint
        if not path.is_file():
            raise WeightsError(
                f"pre-training `{cell.pretraining}`: {path} does not exist; name its checkpoint by --checkpoint "
                f"{cell.pretraining}=FILE, or choose other rows by --only"
            )
        return path

    def identity(self, cell: Cell, known: Known | None = None) -> Identity | None:
        """What the cell's result must be made of now; None where that depends on cells that are not done.

        Raises:
            ConfigError: the recipe does not resolve.
            DataError: the data is absent.
            WeightsError: the checkpoint file is absent.
        """
        known = known if known is not None else {}
        parent, weights = self.suite.parent_of(cell), None
        if parent is not None:
            state = self.state(parent, known)
            if state.kind != "done" or state.result is None or state.result.checkpoint is None:
                return None
            weights = state.result.checkpoint.sha256
        elif not self.weights_absent(cell) and (path := self.weights(cell)) is not None:
            weights = self._content(path)
        if self.suite.candidates_of(cell) and point_of(self, cell, known) is None:
            return None
        recipe = self.recipe(cell, known)
        return Identity(
            weights_sha256=weights,
            recipe_hash=recipe.hash,
            dataset_fingerprint=self._fingerprint(self.suite.data_of(cell)),
            card_version=self.suite.cards[cell.task].version if cell.task else None,
            seed=cell.seed,
            effective_batch=recipe.effective_batch(self.launch.world_size),
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

    def weights_absent(self, cell: Cell) -> bool:
        """Whether the cell starts from a checkpoint file that is not on this machine, and need not be."""
        file = self.suite.pretrainings[cell.pretraining].checkpoint
        return not self.need_data and cell.task is not None and file is not None and not (self.root / file).is_file()

    def _content(self, path: Path) -> str:
        """A checkpoint file's hash, read once as long as its size and time stay."""
        status = path.stat()
        key = (path, status.st_size, status.st_mtime_ns)
        if key not in self._contents:
            self._contents[key] = content_hash(path)
        return self._contents[key]

    def _fingerprint(self, part: DataPart) -> str | None:
        try:
            return self.data.fingerprint(part)
        except DataError:
            if self.need_data:
                raise
            return None

    def state(self, cell: Cell, known: Known | None = None) -> State:
        """How the cell stands on disk; never raises for what lies in its folder.

        Args:
            cell: the cell.
            known: states that are looked up together: each once.
        """
        known = known if known is not None else {}
        if cell not in known:
            known[cell] = self._needs(cell, known) or self._own(cell, known)
        return known[cell]

    def _needs(self, cell: Cell, known: Known) -> State | None:
        """The state of a cell that cannot run yet; None where all that it needs is there."""
        parent = self.suite.parent_of(cell)
        if parent is not None and (before := self.state(parent, known)).kind != "done":
            if before.kind == "failed":
                return State("blocked", f"not run: pre-training failed ({before.reason})")
            return State("waiting", f"its pre-training is not done ({before.reason})")
        return obstacle(self, cell, known)

    def _own(self, cell: Cell, known: Known) -> State:
        """The state of a cell by its own folder."""
        try:
            result = read_result(self.dir(cell))
        except ResultsError as error:
            return State("damaged", str(error))
        if result is None:
            return State("missing", "not run yet")
        try:
            current = self.identity(cell, known)
        except MixedAEError as error:
            return State("stale", f"cannot be checked: {error}", result)
        assert current is not None  # what it needs is done
        if current.dataset_fingerprint is None:
            current = current.model_copy(update={"dataset_fingerprint": result.identity.dataset_fingerprint})
        if self.weights_absent(cell):
            current = current.model_copy(update={"weights_sha256": result.identity.weights_sha256})
        if changes := result.identity.changes(current):
            return State("stale", changes, result)
        if result.status == "failed":
            return State("diverged" if cell.point and result.diverged else "failed", result.reason or "", result)
        if cell.task is None and result.checkpoint and not result.checkpoint.holds(self.dir(cell)):
            return State("damaged", f"{self.dir(cell) / result.checkpoint.file} is absent or is no longer what it was")
        if (point := chosen_cell(self, cell, known)) is not None:  # the result is that point's
            best = self.state(point, known).result
            if best is not None and best.finished != result.finished:
                return State("stale", "the best point of its search was trained anew", result)
        return State("done", "", result)
