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
from mixedae.benchmark.run.views import CellState, CellView
from mixedae.benchmark.store.choosing import chosen_cell
from mixedae.benchmark.store.provenance import collect, cores
from mixedae.benchmark.store.results import Result
from mixedae.benchmark.store.states import Known
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

    def run(self, cells: list[Cell]) -> int:
        """Run what is not done.

        Args:
            cells: the cells, each transfer's pre-training among them.

        Returns:
            The exit status: 0, 1 where a cell failed, 128 + signal after an interrupt.
        """
        self.started = datetime.now(timezone.utc)
        self.provenance = collect(self.workspace.root)
        known: Known = {}
        self.views.update({cell: self._look(cell, known) for cell in cells})
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
        return command_of(self.workspace, self.trainer, cell, {})

    # -- from waiting to running ------------------------------------------------------------------------------------

    def _look(self, cell: Cell, known: Known | None = None) -> CellView:
        """A cell's view before anything runs: done cells are taken as they are."""
        state, view = self.workspace.state(cell, known), CellView(cell)
        if cell in self.force:
            search = self.suite.search_of(cell.task) if cell.task else None
            copied = search is not None and not search.overlay and cell.point is None
            view.note = "taken from its best point again: --force" if copied else "runs again: --force"
        elif state.kind in ("diverged", "skipped"):
            view.fail("diverged", state.reason)
        elif state.kind == "done" and state.result is not None:
            view.finish("cached", state.result, self._metrics(cell))
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
                self._fail(cell, reason, blocked=True)
            elif len(self._running) < self.workers and not any(self.views[need].open for need in needs):
                self._try(cell)

    def _blocked(self, needs: Sequence[Cell]) -> str:
        """Why a cell cannot run: what it needs failed. Empty where nothing did."""
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
            self._fail(cell, f"{type(error).__name__}: {error}")

    def _settle(self, cell: Cell, lock: FileLock) -> bool:
        """Take the result that is there or can be had at once, else launch. Returns whether the lock is free again."""
        known: Known = {}  # all of it by one look at the disk: other processes may finish cells meanwhile
        state = self.workspace.state(cell, known)
        forced = cell in self.force and (state.result is None or state.result.finished < self.started)
        if state.kind == "done" and state.result is not None and not forced:  # another process was faster
            self._close(cell, state.result, "cached")
            return True
        if state.kind == "skipped" or (state.kind == "diverged" and not forced):
            self._end(cell, "diverged", state.reason)
            return True
        if state.kind == "blocked":
            self._fail(cell, state.reason, blocked=True)
            return True
        if state.kind == "failed" and state.result is not None and state.result.finished > self.started:
            self._fail(cell, state.reason)  # it failed in another process just now: not twice in one go
            return True
        if (point := chosen_cell(self.workspace, cell, known)) is not None:
            self._close(cell, take_over(self.workspace, point, cell))
            return True
        plan = plan_of(self.workspace, self.trainer, cell, known, self.provenance)
        if not forced and (adopted := plan.adopt()) is not None:
            adopted.write(plan.folder)
            self._close(cell, adopted)
            return True
        goes_on = not forced and state.kind in ("missing", "failed")
        self._launch(self._going_on(plan, known) if goes_on else plan, lock)
        return False

    def _going_on(self, plan: Plan, known: Known) -> Plan:
        """The plan, from a checkpoint of the same content where a pre-training left one; transfers start anew."""
        if plan.cell.task or not attempted(plan.folder, plan.identity) or not has_checkpoint(plan.folder):
            return plan
        command = command_of(self.workspace, self.trainer, plan.cell, known, resume=True)
        return replace(plan, command=command, resumed=True, begun_by=attempted_by(plan.folder))

    def _again(self, before: Plan) -> tuple[Plan, Known]:
        """A failed run's plan by a new look.

        Raises:
            ResultsError: it would be another run now.
        """
        self.workspace.forget()
        known: Known = {}
        plan = plan_of(self.workspace, self.trainer, before.cell, known, self.provenance)
        if changes := before.identity.changes(plan.identity):
            raise ResultsError(f"failed, and is not tried again: {changes} meanwhile; start the suite again")
        return plan, known

    def _launch(self, plan: Plan, lock: FileLock) -> None:
        prepare(plan.folder, plan.identity, plan.provenance, plan.resumed)
        variables = environment(self.workspace, max(1, cores() // self.workers))
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
                    self.views[cell].note = f"could not resume ({result.reason}); starts anew"
                    self._launch(self._again(run.plan)[0], run.lock)
                    continue
                again = result.status == "failed" and not self._diverged(cell, result)
                if again and self._tries.get(cell, 0) < self.retries:
                    self._tries[cell] = self._tries.get(cell, 0) + 1
                    self.views[cell].note = f"try {self._tries[cell] + 1} after: {result.reason}"
                    self._launch(self._going_on(*self._again(run.plan)), run.lock)
                    continue
                result.write(run.plan.folder)
                self._close(cell, result)
            except (MixedAEError, OSError) as error:
                self._fail(cell, f"{type(error).__name__}: {error}")
            run.lock.release()

    def _close(self, cell: Cell, result: Result, state: str = "done") -> None:
        if result.status == "failed":
            self._end(cell, "diverged" if self._diverged(cell, result) else "failed", result.reason or "")
            return
        self.views[cell].finish("cached" if state == "cached" else "done", result, self._metrics(cell))
        self.board.event(self.views[cell])

    @staticmethod
    def _diverged(cell: Cell, result: Result) -> bool:
        """Whether a point of a search diverged, which is its result; anywhere else that is a failure."""
        return cell.point is not None and result.diverged

    def _fail(self, cell: Cell, reason: str, blocked: bool = False) -> None:
        self._end(cell, "blocked" if blocked else "failed", reason)

    def _end(self, cell: Cell, state: CellState, reason: str) -> None:
        """A cell ends without numbers."""
        self.views[cell].fail(state, reason)
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

    def _stop(self) -> None:
        """End what still runs; its folder keeps its checkpoints and its attempt, and gets no result."""
        terminate([run.process for run in self._running], self.grace)
        for run in self._running:
            self.views[run.plan.cell].state = "waiting"
            run.lock.release()
        self._running = []
