"""One run of a cell: it is planned, and when it has ended its record becomes a result, checked against the plan."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from mixedae.benchmark.plan.cards import TaskCard
from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.run.attempt import attempted, attempted_by, prepare
from mixedae.benchmark.run.command import command_of
from mixedae.benchmark.run.process import failure_reason
from mixedae.benchmark.store.results import (
    LOG,
    RESULT,
    UNPAIRED,
    Checkpoint,
    Identity,
    Provenance,
    Result,
    read_record,
)
from mixedae.benchmark.store.survey import Survey
from mixedae.errors import MixedAEError, ResultsError
from mixedae.records import OUTCOMES, RECORD


@dataclass(frozen=True)
class Plan:
    """One run as planned.

    Attributes:
        suite: the suite's name.
        cell: the cell.
        card: its task; None for a pre-training.
        identity: what the run is made of.
        folder: where its files go.
        command: what is run.
        config: its recipe.
        overlays, options: what is merged over the recipe.
        provenance: code, packages, hardware.
        resumed: whether it goes on from an earlier attempt's checkpoint.
        begun_by: the code and machine of that attempt.
        trains: False for an evaluation of frozen features, which takes no training step.
    """

    suite: str
    cell: Cell
    card: TaskCard | None
    identity: Identity
    folder: Path
    command: tuple[str, ...]
    config: str
    overlays: tuple[str, ...]
    options: tuple[tuple[str, Any], ...]
    provenance: Provenance
    resumed: bool = False
    begun_by: Provenance | None = None
    trains: bool = True

    def conclude(self, status: int, started: datetime, seconds: float) -> Result:
        """The result of an ended process; if anything is wrong with it, a failed result with the reason.

        Args:
            status: exit status as ``subprocess`` gives it.
            started: when the process started.
            seconds: how long it ran.
        """
        found: dict[str, Any]
        try:
            if status != 0:
                raise ResultsError(failure_reason(status, self.folder / LOG))
            found = {"status": self._success, **self._measured()}
        except (MixedAEError, OSError) as error:
            found = {"status": "failed", "reason": str(error)}
        return self._result(started, seconds, found)

    def adopt(self) -> Result | None:
        """The result of a run whose trainer finished but whose harness died before result.json; None without one."""
        record = self.folder / RECORD
        if not attempted(self.folder, self.identity) or not record.is_file() or (self.folder / RESULT).is_file():
            return None
        try:
            found = {"status": self._success, **self._measured()}
        except (MixedAEError, OSError):
            return None
        seconds = found["run"].wall_time_s
        ended = datetime.fromtimestamp(record.stat().st_mtime, timezone.utc)
        made_by = attempted_by(self.folder)
        if made_by is None:
            found["notes"] += (
                "taken over from a harness that was killed; the code version is of the one that found it",
            )
        maker = replace(self, provenance=made_by or self.provenance)
        return maker._result(ended - timedelta(seconds=seconds), seconds, found)

    @property
    def _success(self) -> str:
        return "ok" if self.identity.limit is None else "limited"

    def _measured(self) -> dict[str, Any]:
        """Values, checkpoint and record of a run that ended well.

        Raises:
            ResultsError: the record contradicts the recipe, nothing was trained, a metric or the checkpoint is absent.
        """
        record = read_record(self.folder)
        for what, planned, actual in (
            ("effective batch", self.identity.effective_batch, record.effective_batch),
            ("precision", self.identity.precision, record.precision),
        ):
            if planned != actual:
                raise ResultsError(f"the run's {what} was {actual}, the recipe's is {planned}")
        if self.trains and record.iterations < 1:
            raise ResultsError(
                "the run made no training step: fewer pictures than one batch, and the loader drops the rest?"
            )
        found: dict[str, Any] = {"run": record, "n": record.num_val_images or None}
        if record.checkpoint is not None and (self.folder / record.checkpoint).is_file():
            found["checkpoint"] = Checkpoint.of(self.folder / record.checkpoint)
        notes = ["resumed: elapsed time and peak memory are of its last part"] if self.resumed else []
        if self.begun_by is not None and self.begun_by.commit != self.provenance.commit:
            notes.append(f"begun with code {self.begun_by.version}, continued with {self.provenance.version}")
        if self.card is None:
            if "checkpoint" not in found:
                raise ResultsError(f"the pre-training left no checkpoint ({RECORD} names {record.checkpoint})")
        else:
            from mixedae.benchmark.store.outcomes import describe_outcomes  # numpy

            found["values"] = {metric.key: metric.read(record.metrics) for metric in self.card.metrics}
            expected = self.card.splits.get(self.card.measured_on(self.cell.point is not None))
            if expected is not None and record.num_val_images not in (None, expected):
                notes.append(f"measured on {record.num_val_images} images; the card says {expected}")
            try:
                found["outcomes"] = describe_outcomes(self.folder, record.metrics)
            except ResultsError as error:  # the number stands, but nothing can be paired with it
                notes.append(f"{UNPAIRED}: {error}")
        return {**found, "notes": tuple(notes)}

    def _result(self, started: datetime, seconds: float, found: dict[str, Any]) -> Result:
        return Result(
            suite=self.suite,
            pretraining=self.cell.pretraining,
            task=self.cell.task,
            seed=self.cell.seed,
            point=self.cell.point,
            overlays=self.overlays,
            options=dict(self.options),
            identity=self.identity,
            key=self.identity.key,
            elapsed_s=round(seconds, 2),
            provenance=self.provenance,
            command=self.command,
            config=self.config,
            started=started,
            finished=datetime.now(timezone.utc),
            **found,
        )


def plan_of(survey: Survey, trainer: Sequence[str], cell: Cell, provenance: Provenance) -> Plan:
    """How a cell runs from the start, all of it by one look at the disk.

    Args:
        survey: of the suite's folder.
        trainer: interpreter and script.
        cell: the cell.
        provenance: code, packages, hardware.

    Raises:
        ResultsError: what the cell needs is not done.
    """
    workspace, identity, variant = survey.workspace, survey.identity(cell), survey.variant(cell)
    if identity is None:
        raise ResultsError(f"what {cell.name} needs changed meanwhile; start the suite again")
    recipe = survey.recipe(cell)
    return Plan(
        suite=workspace.suite.name,
        cell=cell,
        card=workspace.suite.cards[cell.task] if cell.task else None,
        identity=identity,
        folder=workspace.dir(cell),
        command=command_of(survey, trainer, cell),
        config=variant.config,
        overlays=variant.overlays,
        options=recipe.options,
        provenance=provenance,
        trains=recipe.epochs is not None or recipe.iterations is not None,
    )


def take_over(survey: Survey, point: Cell, cell: Cell) -> Result:
    """Make the result of a search's best point that of the task, if the search held out no pictures.

    Args:
        survey: of the suite's folder.
        point: the best point.
        cell: the task's cell, whose lock the caller holds.

    Raises:
        ResultsError: the point's result is gone, or the cell's folder holds foreign files.
    """
    workspace, result = survey.workspace, survey.state(point).result
    if result is None or result.identity != survey.identity(cell):
        raise ResultsError(f"{point.name} changed meanwhile; start the suite again")
    folder = workspace.dir(cell)
    prepare(folder, result.identity, result.provenance, resume=False)  # a copy cut short is then known as our own
    for name in (RECORD, OUTCOMES, LOG):
        if (workspace.dir(point) / name).is_file():
            shutil.copy2(workspace.dir(point) / name, folder)
    checkpoint = result.checkpoint
    if checkpoint is not None:
        checkpoint = checkpoint.model_copy(
            update={"file": os.path.relpath(workspace.dir(point) / checkpoint.file, folder)}
        )
    taken = result.model_copy(update={"point": None, "checkpoint": checkpoint})
    taken.write(folder)
    return taken
