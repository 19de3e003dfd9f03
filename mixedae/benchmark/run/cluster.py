"""Cells as jobs of a cluster: submitit sends them to Slurm, or runs them as processes of this machine.

Every job runs the ordinary harness for one cell, so that locks, adoption, retries and results are the same as locally.
The job of a transfer waits for the job of its pre-training and for the jobs of its search. On Slurm this is a
dependency between jobs; on this machine a job is sent when the others have ended. A job finds out when it runs which
point of a search was best.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.launch import Launch
from mixedae.benchmark.plan.suites import load_suite
from mixedae.benchmark.run.board import Board
from mixedae.benchmark.run.command import TRAINER
from mixedae.benchmark.run.queue import Queue, how_it_ended, is_there
from mixedae.benchmark.run.runner import SuiteRunner
from mixedae.benchmark.store.settings import Request
from mixedae.benchmark.store.survey import State, Survey
from mixedae.benchmark.store.workspace import Workspace
from mixedae.errors import LauncherError
from mixedae.files import read_json, write_json
from mixedae.records import read_progress

JOBS = "jobs"  # in the suite's folder: submitit's files, and which job was sent for which cell
FOREVER = 7 * 24 * 60  # minutes
SAVING = 60.0
"""Seconds that a training gets to save when its job has to go; Slurm's signal comes 90 s before the end."""
TIMES = 1000
"""How often a job whose time is up goes on."""


@dataclass
class CellJob:
    """What a job runs: one cell of a suite. It is pickled, so it holds no open files and no state of the sender.

    Attributes:
        suite: the suite's file.
        request: what the sender was given, with all that the suite remembers.
        cell: which of its cells.
        root: the repository's root.
        trainer, retries, force: as for :class:`SuiteRunner`.
    """

    suite: Path
    request: Request
    cell: Cell
    root: Path
    trainer: tuple[str, ...] = TRAINER
    retries: int = 0
    force: bool = False

    def __call__(self) -> str:
        """Run the cell; returns its numbers in words.

        Raises:
            LauncherError: it failed; Slurm then starts no job that depends on it.
        """
        if _rank() > 0:  # torchrun starts the other nodes' processes from the first node
            return ""
        workspace = Workspace(load_suite(self.suite), self.request, self.root)
        if (state := Survey(workspace).state(self.cell)).kind in ("waiting", "blocked"):
            raise LauncherError(f"{self.cell.name}: {state.reason}")
        cells = workspace.suite.select(workspace.cells, self.cell.name)
        force = [self.cell] if self.force else []
        runner = SuiteRunner(workspace, Board(), self.trainer, retries=self.retries, force=force)
        self.__dict__["_runner"] = runner  # for `checkpoint`; no field, so that no copy has it
        runner.run(cells)
        view = runner.views[self.cell]
        if view.state == "diverged":
            return view.reason
        if not view.done:
            raise LauncherError(f"{self.cell.name}: {view.reason or 'interrupted'}")
        return view.numbers

    def checkpoint(self) -> Any:
        """End the training, which saves, and say what runs when the job has its turn again: the same cell goes on.

        submitit calls it when the job's time is nearly up or another job takes its place, and requeues the job.
        """
        import submitit

        runner: SuiteRunner | None = self.__dict__.get("_runner")
        if runner is not None:
            runner.end_trainings(SAVING)
        return submitit.helpers.DelayedSubmission(replace(self, force=False))


def _rank() -> int:
    import submitit

    try:
        return int(submitit.JobEnvironment().global_rank)
    except RuntimeError:  # outside of a job
        return 0


class ClusterRunner(SuiteRunner):
    """Sends the cells that are not done as jobs and watches them.

    After an interrupt the jobs go on; the next run of the suite finds them again.
    """

    def __init__(self, workspace: Workspace, board: Board, trainer: Sequence[str] = TRAINER, **options: Any) -> None:
        super().__init__(workspace, board, trainer, **options)
        if workspace.launch.cluster == "slurm":
            self.workers = len(workspace.cells)  # the cluster decides
        self._jobs: dict[Cell, Any] = {}
        self._queue = Queue()
        self._began: dict[Cell, float] = {}
        self._executor = executor(workspace.launch, workspace.folder / JOBS)

    def _start(self) -> None:
        """Send what can be sent."""
        for cell, view in self.views.items():
            if view.state != "waiting" or cell in self._jobs:
                continue
            needs = self.suite.needs_of(cell)
            before = [need for need in needs if self.views[need].open]
            if reason := self._blocked(needs):
                self._show(cell, State("blocked", reason))
            elif self._has_place() and (
                not before or (self.workspace.launch.cluster == "slurm" and all(need in self._jobs for need in before))
            ):
                self._jobs[cell] = self._find(cell) or self._send(cell, before)

    def _has_place(self) -> bool:
        """Whether another job may be sent: processes of this machine are as many as the suite's workers."""
        return sum(self.views[cell].open for cell in self._jobs) < self.workers

    def _send(self, cell: Cell, before: Sequence[Cell]) -> Any:
        workspace = self.workspace
        jobs = ":".join(str(self._jobs[need].job_id) for need in before)
        more = {"dependency": f"afterok:{jobs}", "kill-on-invalid-dep": "yes"} if jobs else {}
        if workspace.launch.cluster == "slurm":
            self._executor.update_parameters(slurm_additional_parameters=more)
        settings = workspace.settings
        request = replace(
            workspace.request,
            data=workspace.data.given,
            checkpoints=settings.checkpoints,
            launch=settings.launch,
            seeds=(cell.seed,),
        )
        job = self._executor.submit(
            CellJob(
                suite=self.suite.path,
                request=request,
                cell=cell,
                root=workspace.root,
                trainer=self.trainer,
                retries=self.retries,
                force=cell in self.force,
            )
        )
        write_json(self._note(cell), {"id": job.job_id})
        self.views[cell].note = f"job {job.job_id}"
        self.board.event(self.views[cell])
        return job

    def _find(self, cell: Cell) -> Any:
        """The job that an earlier run of the suite sent for a cell, if it is still under way."""
        if self.workspace.launch.cluster != "slurm" or cell in self.force:
            return None
        note = read_json(self._note(cell), default={})
        if "id" not in note:
            return None
        import submitit

        if not is_there(note["id"]):
            return None
        return submitit.SlurmJob(folder=self._executor.folder, job_id=note["id"])

    def _ended(self, job: Any) -> bool:
        """Whether a job is over; one that Slurm starts again is not."""
        return bool(self._queue.ended(job.job_id) if self.workspace.launch.cluster == "slurm" else job.done())

    def _note(self, cell: Cell) -> Path:
        return self.workspace.folder / JOBS / f"{cell.name.replace('/', '-')}.json"

    def _harvest(self) -> None:
        """Look at the jobs: what ended, and how far the others are."""
        for cell, job in list(self._jobs.items()):
            view = self.views[cell]
            if not view.open:
                continue
            if not self._ended(job):
                self._watch(cell)
                continue
            self.workspace.forget()
            state = Survey(self.workspace).state(cell)
            if not state.over and state.kind not in ("failed", "blocked"):
                word = how_it_ended(job.job_id) if self.workspace.launch.cluster == "slurm" else job.state
                state = State(
                    "failed", f"job {job.job_id} ended ({word or 'Slurm has forgotten how'}) without a result"
                )
            self._show(cell, state, made_now=True)

    def _watch(self, cell: Cell) -> None:
        progress = read_progress(self.workspace.dir(cell))
        if progress and self.views[cell].state == "waiting":
            self.views[cell].start(self.views[cell].note)
            self._began[cell] = time.monotonic()
            self.board.event(self.views[cell])
        elif self.views[cell].state == "running":
            self.views[cell].watch(time.monotonic() - self._began[cell], progress)

    def _stop(self) -> None:
        """Jobs go on."""


def executor(launch: Launch, folder: Path) -> Any:
    """Submitit's executor for a launch.

    Raises:
        LauncherError: submitit is not installed, or there is no Slurm here.
    """
    try:
        import submitit
    except ImportError:
        raise LauncherError("--launcher slurm needs submitit, which is not installed: pip install submitit") from None
    options = {"timeout_min": FOREVER, **launch.slurm} if launch.cluster == "local" else launch.slurm
    if "timeout_min" not in options:
        raise LauncherError("--slurm timeout_min=MINUTES is missing: submitit ends a job after 5 minutes by default")
    try:
        goes_on = {"slurm_max_num_timeout": TIMES} if launch.cluster == "slurm" else {}
        made = submitit.AutoExecutor(folder=str(folder), cluster=launch.cluster, **goes_on)
        made.update_parameters(nodes=launch.nodes, tasks_per_node=1, name="mixedae", **options)
    except (
        RuntimeError,
        NameError,
        TypeError,
        ValueError,
    ) as error:  # no sbatch; an option that submitit does not know
        raise LauncherError(f"submitit: {error}") from None
    return made
