"""Running a suite: each cell its own process, a cell that fails costs only itself, an interrupted suite continues."""

import contextlib
import signal
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from types import FrameType

from mixedae.benchmark.plan.cards import Metric
from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.run.attempt import LOCK, attempted, attempted_by, has_checkpoint, prepare
from mixedae.benchmark.run.board import Board
from mixedae.benchmark.run.command import TRAINER, command_of, environment
from mixedae.benchmark.run.lock import FileLock
from mixedae.benchmark.run.process import TrainingProcess, terminate
from mixedae.benchmark.run.training import Plan, plan_of, take_over
from mixedae.benchmark.run.views import CellView
from mixedae.benchmark.store.provenance import collect, cores
from mixedae.benchmark.store.results import Result
from mixedae.benchmark.store.survey import State, Survey, state_of
from mixedae.benchmark.store.workspace import Workspace
from mixedae.errors import MixedAEError, ResultsError


@dataclass
class _Run:
    """A cell whose process runs, and the lock that it holds."""

    plan: Plan
    process: TrainingProcess
    lock: FileLock
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


class SuiteRunner:
    """Runs the cells of a workspace that are not done.

    Args:
        workspace: the suite and its folder.
        board: shows what happens.
        trainer: the command in front of ``CONFIG --work-dir D ...``.
        poll: seconds between two looks at the children.
        grace: seconds that children get to end after an interrupt.
        force: cells that run again although they have a valid result.
        retries: how often a cell that fails is started again.
    """

    def __init__(
        self,
        workspace: Workspace,
        board: Board,
        trainer: Sequence[str] = TRAINER,
        poll: float = 0.2,
        grace: float = 10.0,
        force: Collection[Cell] = (),
        retries: int = 0,
    ) -> None:
        self.workspace = workspace
        self.suite = workspace.suite
        self.board = board
        self.trainer = tuple(trainer)
        self.poll = poll
        self.grace = grace
        self.force = frozenset(force)
        self._tries: dict[Cell, int] = {}
        self.retries = retries
        self.workers = min(self.suite.workers, cores())
        self.views: dict[Cell, CellView] = {}
        self._interrupted: int | None = None
        self._running: list[_Run] = []
        self._found: dict[Cell, Result | None] = {}

    def run(self, cells: list[Cell]) -> int:
        """Run what is not done.

        Args:
            cells: the cells, each transfer's pre-training among them.

        Returns:
            The exit status: 0, 1 if a cell failed, 128 + signal after an interrupt.
        """
        self.provenance = collect(self.workspace.root)
        states = Survey(self.workspace).states(cells)
        self._found = {cell: state.result for cell, state in states.items()}
        self.views.update({cell: self._first_view(cell, state) for cell, state in states.items()})
        with self._signals(), self.board:
            self.board.begin(self.views, self.workers)
            try:
                while self._interrupted is None and any(view.open for view in self.views.values()):
                    self._harvest()
                    self._start()
                    for run in self._running:
                        self.views[run.plan.cell].watch(run.process.elapsed, run.process.progress())
                    self.board.refresh()
                    time.sleep(self.poll)
            finally:
                self._stop()
            self.board.end(self._interrupted)
        if self._interrupted is not None:
            return 128 + self._interrupted
        return int(any(view.state in ("failed", "blocked") for view in self.views.values()))

    def command(self, cell: Cell) -> tuple[str, ...]:
        """The command line of a cell, to be run in the repository's root; see :func:`command_of`."""
        return command_of(Survey(self.workspace), self.trainer, cell)

    # -- from waiting to running ------------------------------------------------------------------------------------

    def _first_view(self, cell: Cell, state: State) -> CellView:
        """A cell's view before anything runs: what has ended is taken as it is, everything else waits."""
        view = CellView(cell)
        if cell in self.force:
            search = self.suite.search_of(cell.task) if cell.task else None
            copied = search is not None and not search.overlay and cell.point is None
            view.note = "taken from its best point again: --force" if copied else "runs again: --force"
        elif state.over:
            view.show(state, self._metrics(cell))
        elif state.kind in ("stale", "damaged", "failed"):
            view.note = f"runs again: {state.reason}"
        return view

    def _metrics(self, cell: Cell) -> Sequence[Metric]:
        return self.suite.cards[cell.task].metrics if cell.task else ()

    def _start(self) -> None:
        """Start cells while there are free workers; cells that another process runs are looked at again each time."""
        for cell, view in self.views.items():
            if view.state not in ("waiting", "elsewhere"):
                continue
            needs = self.suite.needs_of(cell)
            if reason := self._blocked(needs):
                self._show(cell, State("blocked", reason))
            elif len(self._running) < self.workers and not any(self.views[need].open for need in needs):
                self._try(cell)

    def _blocked(self, needs: Sequence[Cell]) -> str:
        """Why a cell cannot run: what it needs failed. Empty if nothing did."""
        for need in needs:
            if (before := self.views[need]).state in ("failed", "blocked"):
                what = f"{need.point} of its search" if need.point else "pre-training"
                return f"not run: {what} failed ({before.reason})"
        return ""

    def _try(self, cell: Cell) -> None:
        """Take the cell's lock, look again at what is on disk, and start the cell if its result is still missing."""
        lock = FileLock(self.workspace.dir(cell) / LOCK)
        if not lock.acquire():
            if self.views[cell].state != "elsewhere":
                self.views[cell].elsewhere(lock.holder())
                self.board.event(self.views[cell])
            return
        try:
            self.workspace.forget()  # configs and data may have changed since the suite started
            if self._settle(cell, lock):
                lock.release()
        except (MixedAEError, OSError) as error:
            lock.release()
            self._show(cell, _error_state(error))

    def _settle(self, cell: Cell, lock: FileLock) -> bool:
        """Close the cell if its result is there or can be had without training; else start its process.

        Returns:
            Whether the lock is free again: no process was started.
        """
        survey = Survey(self.workspace)  # a new look: other processes may have finished cells meanwhile
        state = survey.state(cell)
        before = state.result is None or state.result == self._found.get(cell)  # clocks may be wrong
        forced = cell in self.force and before
        failed_just_now = state.kind == "failed" and not before  # in another process: not twice in one run
        if (state.over and not forced) or state.kind == "blocked" or failed_just_now:
            self._show(cell, state)
            return True
        if (point := survey.copied_from(cell)) is not None:
            self._show(cell, state_of(cell, take_over(survey, point, cell)), made_now=True)
            return True
        plan = plan_of(survey, self.trainer, cell, self.provenance)
        if not forced and (adopted := plan.adopt()) is not None:
            adopted.write(plan.folder)
            self._show(cell, state_of(cell, adopted), made_now=True)
            return True
        goes_on = not forced and state.kind in ("missing", "failed")
        self._launch(self._going_on(plan, survey) if goes_on else plan, lock)
        return False

    def _going_on(self, plan: Plan, survey: Survey) -> Plan:
        """The plan, continued from a checkpoint of the same content if there is one."""
        if not attempted(plan.folder, plan.identity) or not has_checkpoint(plan.folder):
            return plan
        command = command_of(survey, self.trainer, plan.cell, resume=True)
        return replace(plan, command=command, resumed=True, begun_by=attempted_by(plan.folder))

    def _again(self, before: Plan) -> tuple[Plan, Survey]:
        """The plan of a failed run, by a new look at the disk.

        Raises:
            ResultsError: it would be another run now.
        """
        self.workspace.forget()
        survey = Survey(self.workspace)
        plan = plan_of(survey, self.trainer, before.cell, self.provenance)
        if changes := before.identity.changes(plan.identity):
            raise ResultsError(f"failed, and is not tried again: {changes} meanwhile; start the suite again")
        return plan, survey

    def _launch(self, plan: Plan, lock: FileLock) -> None:
        prepare(plan.folder, plan.identity, plan.provenance, plan.resumed)
        trainers = self.workers * self.workspace.launch.processes
        variables = environment(self.workspace, max(1, cores() // trainers))
        process = TrainingProcess(plan.command, self.workspace.root, plan.folder, variables, lock.fileno)
        self._running.append(_Run(plan, process, lock))
        again = self.views[plan.cell].note if self._tries.get(plan.cell) else ""
        self.views[plan.cell].start("; ".join(filter(None, ["resumed" if plan.resumed else "", again])))
        self.board.event(self.views[plan.cell])

    # -- from running to done ---------------------------------------------------------------------------------------

    def _harvest(self) -> None:
        """Turn processes that ended into results."""
        for run in list(self._running):
            status = run.process.poll()
            if status is None:
                continue
            self._running.remove(run)
            cell = run.plan.cell
            try:
                result = run.plan.conclude(status, run.started, run.process.elapsed)
                if result.status == "failed" and run.plan.resumed:
                    # What it resumed from may be damaged: once more from the start, under the same lock.
                    self.views[cell].note = f"could not resume ({result.reason}); starts from the start"
                    self._launch(self._again(run.plan)[0], run.lock)
                    continue
                state = state_of(cell, result)
                if state.kind == "failed" and self._tries.get(cell, 0) < self.retries:
                    self._tries[cell] = self._tries.get(cell, 0) + 1
                    self.views[cell].note = f"try {self._tries[cell] + 1} after: {result.reason}"
                    self._launch(self._going_on(*self._again(run.plan)), run.lock)
                    continue
                result.write(run.plan.folder)
                self._show(cell, state, made_now=True)
            except (MixedAEError, OSError) as error:
                self._show(cell, _error_state(error))
            run.lock.release()

    def _show(self, cell: Cell, state: State, made_now: bool = False) -> None:
        """A cell has ended in ``state``."""
        self.views[cell].show(state, self._metrics(cell), made_now)
        self.board.event(self.views[cell])

    # -- interrupts -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the loop at its next turn, so that nothing is cut in the middle."""

        def note(number: int, frame: FrameType | None) -> None:
            self._interrupted = number

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def end_trainings(self, grace: float) -> None:
        """End what runs, with a checkpoint if it comes to one in time.

        Args:
            grace: seconds that all together get.
        """
        terminate([run.process for run in self._running], grace)

    def _stop(self) -> None:
        """End what still runs; its folder keeps its checkpoints and its attempt, and gets no result."""
        terminate([run.process for run in self._running], self.grace)
        for run in self._running:
            self.views[run.plan.cell].state = "waiting"
            run.lock.release()
        self._running = []


def _error_state(error: Exception) -> State:
    return State("failed", f"{type(error).__name__}: {error}")
