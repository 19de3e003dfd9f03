"""Searches: the grid, the choice and its ties, failures, interrupts, what a change makes stale, the table."""

import csv
import io
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.search import Search
from mixedae.benchmark.plan.suites import load_suite
from mixedae.benchmark.store.results import Result, read_result
from mixedae.benchmark.store.survey import Survey
from mixedae.benchmark.table.render import RENDERERS
from mixedae.benchmark.table.stats import over_tasks
from mixedae.benchmark.validate import problems_of
from mixedae.errors import ConfigError
from tests.benchmark.conftest import start, wait_for, words
from tests.benchmark.fake_suite import AXES, KEYS, SEARCH, FakeSuite, SearchedSuite, renderings

FINAL = Cell("random", "cls", 0)


def started(journal: Path) -> list[str]:
    names = [name for name, *_ in words(journal, "start")]
    journal.unlink(missing_ok=True)
    return names


# -- the grid as data --------------------------------------------------------------------------------------------------

numbers = st.lists(st.integers(1, 999).map(lambda n: n / 1000), min_size=1, max_size=5, unique=True)


@settings(deadline=None, max_examples=60)
@given(numbers, numbers)
def test_points_are_the_product_in_order_and_set_the_keys(lr: list[float], wd: list[float]) -> None:
    search = Search(axes={"lr": lr, "wd": wd}, keys=KEYS)
    pairs = [tuple(point.values()) for point in search.points.values()]
    assert pairs == [(a, b / a) for a in lr for b in wd]
    assert len(search.points) == len(lr) * len(wd)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.none() | st.integers(0, 3), min_size=1, max_size=8), st.booleans())
def test_best_is_the_first_of_the_best_that_did_not_diverge(found: list[int | None], higher: bool) -> None:
    search = Search(axes={"lr": list(range(1, len(found) + 1))}, keys={"a": "lr"})
    scores = dict(zip(search.points, found, strict=True))
    best, left = search.best(scores, higher), [score for score in found if score is not None]
    if not left:
        assert best is None
        return
    assert scores[best or ""] == (max(left) if higher else min(left))
    order = list(search.points)
    assert all(scores[point] != scores[best or ""] for point in order[: order.index(best or "")])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"axes": {"lr": [0.1]}}, "names the axis `wd`; did you mean|names the axis `wd`; known: lr"),
        ({"axes": AXES | {"decay": [1]}}, "the axis `decay` sets no key"),
        ({"axes": AXES | {"lr": [0.1, 0]}}, "divides by `lr`, which may be 0"),
        ({"axes": AXES | {"lr": [0.1, 0.1]}}, "the axis `lr` has 0.1 twice"),
        ({"axes": AXES | {"lr": ["fast"]}}, "lr"),
        ({"keys": KEYS | {"a.b": "wd * lr"}}, "expected an axis, or one divided by another"),
        ({"overlays": ["selection"]}, "unknown key `overlays`; did you mean `overlay`"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    suite = SearchedSuite(tmp_path, {}, **changes)
    with pytest.raises(ConfigError, match=expected):
        load_suite(suite.path)


def test_the_card_says_what_a_search_chooses_on(tmp_path: Path) -> None:
    suite = SearchedSuite(tmp_path, {})
    card = yaml.safe_load((tmp_path / "tasks/cls.yaml").read_text())
    suite._dump(tmp_path / "tasks/cls.yaml", {key: value for key, value in card.items() if key != "selected_on"})
    with pytest.raises(ConfigError, match="needs selected_on"):
        load_suite(suite.path)
    suite._dump(tmp_path / "tasks/cls.yaml", card | {"search": SEARCH | {"overlay": None}})
    with pytest.raises(ConfigError, match="chooses on `val`, not on the card's selected_on"):
        load_suite(suite.path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"overlay": "selektion"}, "task `cls`: .*has no overlay `selektion`; did you mean `selection`"),
        (
            {"keys": KEYS | {"optim_wrapper.optimiser.lr": "lr"}},
            "has no `optim_wrapper.optimiser.lr`.*did you mean `optimizer`",
        ),
    ],
)
def test_what_the_recipe_does_not_have_is_found_before_anything_runs(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    workspace = SearchedSuite(tmp_path, {}, **changes).workspace()
    problems = problems_of(workspace, workspace.cells)
    assert len(problems) == 1
    with pytest.raises(ConfigError, match=expected):
        raise problems[0]


# -- running -----------------------------------------------------------------------------------------------------------


def test_every_point_then_the_best_one_anew(tmp_path: Path, journal: Path) -> None:
    suite = SearchedSuite(tmp_path, {"0.1": 0.3, "0.01": 0.6})
    names = [f"random/cls/search/lr-{lr}_wd-{wd}/seed_0" for lr in ("0.1", "0.01") for wd in ("0", "0.001")]
    assert suite.names()[:5] == [*names, FINAL.name]
    assert suite.run(only="random")[0] == 0
    assert started(journal) == [*names, FINAL.name]
    point = read_result(suite.folder / names[1])
    assert point is not None and point.overlays == ("selection",)
    assert point.options == {"optim_wrapper.optimizer.lr": 0.1, "optim_wrapper.optimizer.weight_decay": 0.01}
    assert point.n == 5 and point.notes == () and (point.point, point.task) == ("lr-0.1_wd-0.001", "cls")
    final = read_result(suite.folder / FINAL.name)
    assert final is not None and final.overlays == () and final.n == 20
    assert final.options == {"optim_wrapper.optimizer.lr": 0.01, "optim_wrapper.optimizer.weight_decay": 0.0}  # a tie
    command = " ".join(point.command)
    assert "--overlay selection" in command and "optim_wrapper.optimizer.weight_decay=0.01" in command
    assert "--overlay" not in final.command
    assert suite.run(only="random")[0] == 0 and started(journal) == []


def test_a_part_of_the_name_selects_points_and_a_final_cell_brings_its_search(tmp_path: Path) -> None:
    workspace = SearchedSuite(tmp_path, {}).workspace()
    assert [cell.point for cell in workspace.suite.select(workspace.cells, FINAL.name)].count(None) == 1
    assert len(workspace.suite.select(workspace.cells, FINAL.name)) == 5
    assert len(workspace.suite.select(workspace.cells, "random/cls/search")) == 4
    assert len(workspace.suite.select(workspace.cells, "*/lr-0.1_wd-0/*")) == 2


def test_a_point_that_diverged_is_seen_is_not_chosen_and_is_not_run_again(tmp_path: Path, journal: Path) -> None:
    suite = SearchedSuite(tmp_path, {"0.1": None, "0.01": 0.6})
    status, runner = suite.run(only="random", retries=2)
    assert status == 0 and len(started(journal)) == 5
    view = runner.views[Cell("random", "cls", 0, "lr-0.1_wd-0")]
    assert view.state == "diverged" and view.reason == "NonFiniteLossError: loss is nan in iteration 3"
    assert suite.run(only="random")[0] == 0 and started(journal) == []
    comparison = suite.comparison()
    assert comparison.rows[0].entries[0].choices[0].diverged == 2
    assert "5 of 10 cells done" in suite.report(tmp_path / "report.html")
    assert any("2 diverged" in note for note in comparison.footnotes)


def test_all_points_diverged(tmp_path: Path, journal: Path) -> None:
    suite = SearchedSuite(tmp_path, {"0.1": None, "0.01": None})
    status, runner = suite.run(only="random")
    assert status == 1 and len(started(journal)) == 4
    reason = "not run: every point of its search diverged"
    assert (runner.views[FINAL].state, runner.views[FINAL].reason) == ("blocked", reason)
    assert suite.comparison().rows[0].entries[0].missing == {0: reason}


def test_a_point_that_broke_is_no_result(tmp_path: Path, journal: Path) -> None:
    """Out of memory says nothing about a learning rate: the choice waits, and the point runs again."""
    suite = SearchedSuite(tmp_path, {"0.1": 0.3, "0.01": 0.6})
    fake = {"value": "cls", "scores": str(tmp_path / "scores.json")}
    suite.write_config("cls", **fake, fail="error: DataError: disk", fail_times=1)
    assert suite.run(only="random/cls/search/lr-0.1_wd-0/")[0] == 1
    assert suite.state(FINAL).reason == "not run: lr-0.1_wd-0 of its search failed (DataError: disk)"
    started(journal)


def test_interrupted_in_the_grid_it_continues_point_by_point(tmp_path: Path, journal: Path) -> None:
    suite = SearchedSuite(tmp_path, {"0.1": 0.3, "0.01": 0.6})
    suite.write_config("cls", value="cls", scores=str(tmp_path / "scores.json"), sleep=0.1)
    harness = start(suite)
    wait_for(lambda: len(words(journal, "end")) == 2)
    harness.send_signal(signal.SIGKILL)
    harness.wait(timeout=20)
    done = {name for name, *_ in words(journal, "end")}
    wait_for(lambda: suite.run(only="random")[0] == 0)
    again = [name for name, *_ in words(journal, "start")][len(done) :]
    assert not done & set(again) and FINAL.name in again
    assert not words(journal, "COLLISION")


def test_another_grid_keeps_what_it_shares(tmp_path: Path, journal: Path) -> None:
    suite = SearchedSuite(tmp_path, {"0.1": 0.3, "0.01": 0.6, "0.001": 0.2})
    assert suite.run(only="random")[0] == 0
    started(journal)
    before = read_result(suite.folder / FINAL.name)
    suite.search(axes={"lr": [0.001, 0.01], "wd": [0.0, 0.001]})
    assert suite.state(FINAL).kind == "waiting"
    assert suite.run(only="random")[0] == 0  # the choice stays: two new points, and nothing else
    assert started(journal) == [f"random/cls/search/lr-0.001_wd-{wd}/seed_0" for wd in ("0", "0.001")]
    assert read_result(suite.folder / FINAL.name) == before
    suite.search(axes={"lr": [0.1, 0.001], "wd": [0.0]})
    assert suite.state(FINAL).reason == "the recipe changed"
    assert suite.run(only="random")[0] == 0  # another choice, from points that are there
    assert started(journal) == [FINAL.name]


def test_a_choice_that_changes_makes_the_result_stale(tmp_path: Path, journal: Path) -> None:
    suite = SearchedSuite(tmp_path, {"0.1": 0.3, "0.01": 0.6})
    assert suite.run(only="random")[0] == 0
    suite.score({"0.1": 0.9, "0.01": 0.6})
    started(journal)
    assert suite.run(only="random/cls/search/lr-0.1_wd-0/", force=True)[0] == 0
    assert started(journal) == ["random/cls/search/lr-0.1_wd-0/seed_0"]
    assert suite.state(FINAL).kind == "stale"
    assert suite.comparison().rows[0].entries[0].values == {}
    assert suite.run(only="random")[0] == 0 and started(journal) == [FINAL.name]
    final = read_result(suite.folder / FINAL.name)
    assert final is not None and final.options["optim_wrapper.optimizer.lr"] == 0.1


def test_without_held_out_pictures_the_best_point_is_the_result(tmp_path: Path, journal: Path) -> None:
    suite = SearchedSuite(tmp_path, {}, overlay=None)
    assert suite.run(only="random")[0] == 0
    assert len(started(journal)) == 4
    final = read_result(suite.folder / FINAL.name)
    points = [read_result(suite.folder / name) for name in suite.names()[:4]]
    best = max(points, key=lambda result: result.values["accuracy/top1"])  # type: ignore[union-attr]
    assert final is not None and best is not None
    assert (final.values, final.identity, final.command) == (best.values, best.identity, best.command)
    assert final.checkpoint is not None and final.checkpoint.holds(suite.folder / FINAL.name)
    assert any("chosen on the pictures that are reported" in note for note in suite.comparison().footnotes)
    assert suite.run(only="random")[0] == 0 and started(journal) == []
    status, runner = suite.run(only=FINAL.name, force=True)
    assert status == 0 and started(journal) == [] and "best point again" in runner.views[FINAL].note
    chosen = Cell("random", "cls", 0, best.point).name
    assert suite.run(only=chosen, force=True)[0] == 0 and started(journal) == [chosen]
    assert suite.state(FINAL).reason == "the best point of its search was trained again"
    assert suite.run(only="random")[0] == 0 and started(journal) == []
    final, best = read_result(suite.folder / FINAL.name), read_result(suite.folder / chosen)
    assert final is not None and best is not None and final.finished == best.finished


def test_a_result_that_was_half_taken_over_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = SearchedSuite(tmp_path, {}, overlay=None)
    write = Result.write

    def killed(result: Result, folder: Path) -> None:
        if folder == suite.folder / FINAL.name:
            raise OSError("killed")
        write(result, folder)

    with monkeypatch.context() as patch:
        patch.setattr(Result, "write", killed)
        assert suite.run(only="random")[0] == 1
    assert (suite.folder / FINAL.name / "run_record.json").is_file()
    assert suite.run(only="random")[0] == 0 and suite.state(FINAL).kind == "done"


def test_a_cell_is_planned_by_one_look(tmp_path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process trains the points anew between two questions: the run is what its identity says."""
    suite = SearchedSuite(tmp_path, {"0.1": 0.3, "0.01": 0.6})
    assert suite.run(only="random")[0] == 0
    shutil.rmtree(suite.folder / FINAL.name)
    ask = Survey.identity

    def identity(survey: Survey, cell: Cell) -> Any:
        found = ask(survey, cell)
        if cell == FINAL:
            for name in ("lr-0.01_wd-0", "lr-0.01_wd-0.001"):
                shutil.rmtree(suite.folder / f"random/cls/search/{name}", ignore_errors=True)
        return found

    monkeypatch.setattr(Survey, "identity", identity)
    assert suite.run(only="random")[0] == 0
    final = read_result(suite.folder / FINAL.name)
    assert final is not None and final.options["optim_wrapper.optimizer.lr"] == 0.01
    assert "optim_wrapper.optimizer.lr=0.01" in final.command


# -- the table ---------------------------------------------------------------------------------------------------------


def test_every_format_says_what_was_chosen(tmp_path: Path) -> None:
    suite = SearchedSuite(tmp_path, {"0.1": 0.3, "0.01": 0.6})
    assert suite.run()[0] == 0
    comparison = suite.comparison()
    choice = comparison.rows[0].entries[0].choices[0]
    assert (choice.point, choice.score, choice.points) == ("lr-0.01_wd-0", 60.0, 4)
    lines = list(csv.DictReader(io.StringIO(RENDERERS["csv"](comparison))))
    assert lines[0]["chosen"] == "lr-0.01_wd-0 (60.0, 4 points)"
    assert json.loads(RENDERERS["json"](comparison))["rows"][1]["entries"][0]["choices"]["0"]["score"] == 60.0
    for name in ("rich", "md"):
        assert "lr-0.01_wd-0 (60.0" in renderings(comparison)[name]
    assert r"lr-0.01\_wd-0 (60.0" in RENDERERS["latex"](comparison)
    page = suite.report(tmp_path / "report.html")
    assert "lr-0.01_wd-0 (60.0" in page and "--overlay selection" in page


def test_a_points_lack_of_outcomes_is_no_footnote(tmp_path: Path) -> None:
    suite = SearchedSuite(tmp_path, {"0.1": 0.3, "0.01": 0.6})
    assert suite.run(only="random")[0] == 0
    for name in (FINAL.name, suite.names()[0]):
        result = read_result(suite.folder / name)
        assert result is not None
        result.model_copy(update={"notes": (f"no paired test: {name}",)}).write(suite.folder / name)
    notes = [note for note in suite.comparison().footnotes if "no paired test" in note]
    assert notes == [f"CLS: no paired test: {FINAL.name}."]


def test_a_row_from_a_file(tmp_path: Path, journal: Path) -> None:
    suite = SearchedSuite(tmp_path, {"0.1": 0.3, "0.01": 0.6})
    cell = Cell("given", "cls", 0)
    assert suite.run(only="given")[0] == 0
    result = read_result(suite.folder / cell.name)
    assert result is not None and result.identity.weights_sha256
    assert f"model.backbone.init_cfg.checkpoint={tmp_path}/given.pth" in result.command
    (tmp_path / "given.pth").rename(tmp_path / "moved.pth")
    files = {"given": tmp_path / "moved.pth"}
    assert suite.state(cell, checkpoints=files).kind == "done"  # content, not a path
    assert suite.comparison().rows[1].entries[0].values  # on a machine without the file
    (problem,) = problems_of(suite.workspace(), suite.workspace().cells)
    assert "given.pth does not exist; name its checkpoint by --checkpoint given=FILE" in str(problem)
    (tmp_path / "moved.pth").write_text("others")
    assert suite.state(Cell("given", "cls", 0, "lr-0.1_wd-0"), checkpoints=files).kind == "stale"
    workspace = suite.workspace(checkpoints={"mine": tmp_path / "moved.pth"})
    workspace.remember()
    assert list(suite.workspace().suite.pretrainings) == ["random", "given", "mine"]
    with pytest.raises(ConfigError, match="small letters"):
        suite.workspace(checkpoints={"My Model": tmp_path / "moved.pth"})


@pytest.mark.parametrize("replaced", ["mae", "mixedae"])
def test_a_file_in_the_place_of_a_row_is_named_and_compared(tmp_path: Path, replaced: str) -> None:
    """Its epochs are unknown, whichever side of the difference it is on."""
    suite = FakeSuite(tmp_path)
    (tmp_path / "mine.pth").write_text("weights")
    files = {replaced: tmp_path / "mine.pth"}
    assert suite.run(only="m*/cls/seed_0", checkpoints=files)[0] == 0
    comparison = suite.comparison(checkpoints=files)
    assert comparison.rows[2].baseline == "MAE" and comparison.rows[2].entries[0].difference is not None
    title = {"mae": "MAE", "mixedae": "mixedae"}[replaced]
    notes = "\n".join(comparison.footnotes).replace("MixedAE", "mixedae")
    assert f"Given by --checkpoint, not what the row's title says: {title} is {tmp_path}/mine.pth." in notes
    assert f"mixedae is compared with MAE; the pre-training epochs of {title} are unknown." in notes


def test_two_commands_remember_the_files_of_both(tmp_path: Path) -> None:
    suite = SearchedSuite(tmp_path, {})
    for name in ("one", "two"):
        suite.workspace(checkpoints={name: tmp_path / "given.pth"}).remember()
    assert list(suite.workspace().checkpoints) == ["one", "two"]


# -- the average -------------------------------------------------------------------------------------------------------


def test_the_average_needs_every_task_of_a_seed(tmp_path: Path) -> None:
    tables = {"t": {"source": "S", "columns": {"mean": "m"}, "rows": [{"method": "M", "values": {"mean": 50.0}}]}}
    suite = FakeSuite(tmp_path, seeds=(0, 1))
    suite._dump(tmp_path / "published.yaml", {"tables": tables})
    rows: dict[str, dict[str, object]] = {"random": {"random": True}, "other": {"random": True, "title": "Other"}}
    rows["other"]["published"] = {"table": "t", "method": "M"}
    suite.write_config("det", value="other")
    suite.write_suite(
        pretrainings=rows,
        baseline="random",
        seeds=[0, 1],
        average={"published": "mean"},
        published_rows=[{"table": "t", "method": "M"}],
    )
    assert suite.run(only="*seed_0")[0] == 0
    assert suite.run(only="*/cls/seed_1")[0] == 0
    comparison = suite.comparison()
    assert [column.name for column in comparison.columns] == ["top-1", "box AP", "average"]
    for row in comparison.rows[:2]:
        cls, det, average = row.entries
        assert average.values == {0: pytest.approx((cls.values[0] + det.values[0]) / 2)}
        assert average.missing == {1: "1 of 2 tasks are not done"}
        assert average.spread is not None and average.spread.std is None and average.paired is None
    other = comparison.rows[1].entries[2]
    assert other.difference is not None and other.published is not None and other.published.value == 50.0
    assert comparison.rows[2].entries[2].published is not None
    assert "average" in RENDERERS["md"](comparison) and "average" in RENDERERS["csv"](comparison)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.dictionaries(st.integers(0, 3), st.floats(0, 100), max_size=4), max_size=4))
def test_over_tasks_is_the_mean_where_all_are(values: list[dict[int, float]]) -> None:
    found = over_tasks(values)
    assert found.keys() == (set.intersection(*map(set, values)) if values else set())
    for seed, mean in found.items():
        assert mean == pytest.approx(np.mean([task[seed] for task in values]))
