"""The boards: what they say, and when."""

import io

from rich.console import Console

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.run.board import LiveBoard, PlainBoard, make_board
from mixedae.benchmark.run.views import CellView, time_left
from mixedae.benchmark.store.survey import State
from mixedae.records import Progress


def views() -> dict[Cell, CellView]:
    cells = [Cell("mae", None, 0), Cell("mae", "cls", 0), Cell("mae", "det", 0), Cell("random", "det", 0)]
    found = {cell: CellView(cell) for cell in cells}
    found[cells[0]].state, found[cells[0]].seconds = "done", 100.0
    found[cells[1]].state, found[cells[1]].numbers, found[cells[1]].seconds = "cached", "top-1 71.3", 20.0
    found[cells[2]].start("")
    found[cells[2]].watch(10.0, Progress(epoch=3, max_epochs=10, loss=0.5, eta_s=30, metrics={"mIoU": 4.25}))
    found[cells[3]].show(State("failed", "ValueError: [bold]no[/bold]"), ())
    return found


def test_time_left() -> None:
    found = views()
    assert time_left(found, workers=1) == 30
    waiting = CellView(Cell("mixedae", "det", 0))  # like the running one: 10 s so far and 30 s to go
    found[waiting.cell] = waiting
    assert time_left(found, workers=1) == 70
    assert time_left(found, workers=2) == 40  # half of 70, but no less than the longest cell
    assert time_left({waiting.cell: waiting}, workers=1) is None


def test_progress_in_words() -> None:
    view = CellView(Cell("mae", None, 0))
    assert (view.step, view.loss, view.metric, view.eta) == ("starting", "", "", None)
    view.watch(1.0, Progress(iter=4, max_iters=9, epoch=0, phase="val"))
    assert view.step == "validation, iteration 4/9"
    view.watch(2.0, None)  # progress.json was being replaced: keep the last
    assert view.step == "validation, iteration 4/9"


def test_live_board_shows_everything() -> None:
    console = Console(file=io.StringIO(), width=150, force_terminal=True)
    with LiveBoard(console, "My suite") as board:
        board.begin(views(), 2)
        board.end(None)
    console = Console(file=io.StringIO(), width=150)
    console.print(board.render())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for part in (
        "My suite",
        "✓ top-1 71.3",
        "epoch 3/10",
        "0.5",
        "mIoU 4.25",
        "30s",
        "ValueError: [bold]no[/bold]",
        "2/4 cells",
    ):
        assert part in text


def test_plain_board_prints_events_and_seldom_a_status() -> None:
    out = io.StringIO()
    board = PlainBoard(Console(file=out, width=40), every=0.0)
    found = views()
    board.begin(found, 1)
    for view in found.values():
        board.event(view)
    board.refresh()
    board.every = 1000.0
    board.refresh()
    board.end(2)
    lines = out.getvalue().splitlines()
    assert len(lines) == 1 + 4 + 1 + 1  # long lines are not wrapped
    assert lines[2].endswith("done    mae/cls/seed_0: top-1 71.3 (20s)")
    assert lines[4].endswith("failed  random/det/seed_0: ValueError: [bold]no[/bold]")
    assert "mae/det/seed_0: epoch 3/10, loss 0.5, 30s left" in lines[5]
    assert "interrupted (SIGINT): start again to continue" in lines[6]
    assert isinstance(make_board(Console(file=io.StringIO()), "t"), PlainBoard)


def test_the_matrix_counts_the_points_of_a_search() -> None:
    found = views()
    for point, state in (("lr-1", "diverged"), ("lr-2", "cached"), ("lr-3", "waiting")):
        cell = Cell("mae", "cls", 0, point)
        found[cell] = CellView(cell, state)  # type: ignore[arg-type]
    with LiveBoard(Console(file=io.StringIO(), width=150, force_terminal=True), "My suite") as board:
        board.begin(found, 2)
        console = Console(file=io.StringIO(), width=150)
        console.print(board.render())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2/3 ✓ top-1 71.3" in text and "1 diverged" in text
