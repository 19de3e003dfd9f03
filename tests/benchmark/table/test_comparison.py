"""What may stand beside what: paired tests on shared images only, epochs apart, code versions named."""

import json
from pathlib import Path

import pytest
import yaml

from mixedae.benchmark.commands import find_suite
from mixedae.benchmark.plan.cards import load_card
from mixedae.benchmark.plan.cells import Cell, matching
from mixedae.benchmark.plan.suites import load_suite
from mixedae.benchmark.store.results import read_result
from mixedae.benchmark.store.settings import Request
from mixedae.benchmark.store.survey import Survey
from mixedae.benchmark.store.workspace import Workspace
from mixedae.benchmark.table.paired import REPLICATES, mcnemar
from mixedae.benchmark.table.render import RENDERERS
from mixedae.errors import ConfigError
from tests.benchmark.fake_suite import FakeSuite, renderings


@pytest.fixture
def suite(tmp_path: Path) -> FakeSuite:
    suite = FakeSuite(tmp_path)
    suite.write_config("cls", outcomes="these images")
    suite.write_suite(tasks=["cls"])
    assert suite.run()[0] == 0
    return suite


def test_differences_are_tested_on_the_shared_images(suite: FakeSuite) -> None:
    comparison = suite.comparison()
    random, mae, mixedae = (row.entries[0] for row in comparison.rows)
    assert mae.paired is None and random.paired is not None and mixedae.paired is not None
    for entry in (random, mixedae):
        assert entry.paired is not None and entry.difference is not None
        assert entry.paired.low <= entry.difference.mean <= entry.paired.high and entry.paired.images == 40
        assert entry.paired.p_holm is not None and entry.paired.p <= entry.paired.p_holm <= 2 * entry.paired.p
    for name, text in renderings(comparison).items():
        assert str(round(mixedae.paired.low, 1)) in text, name
    assert any(
        f"{REPLICATES}" in note or "bootstrap over the test images (40)" in note for note in comparison.footnotes
    )


def test_tests_are_remembered_by_content(suite: FakeSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    before = suite.comparison()
    monkeypatch.setattr("mixedae.benchmark.table.paired.compare_images", lambda *a: pytest.fail("tested again"))
    assert suite.comparison() == before
    monkeypatch.undo()
    suite.write_config("cls", outcomes="these images", epochs=3)  # other weights, other outcomes
    assert suite.run()[0] == 0
    suite.comparison()
    assert len(json.loads((suite.folder / "comparisons.json").read_text())) == 4


def test_other_images_are_not_paired(suite: FakeSuite) -> None:
    path = suite.folder / "mixedae/cls/seed_0/result.json"
    result = json.loads(path.read_text())
    result["outcomes"]["items_sha256"] = "other images"
    path.write_text(json.dumps(result))
    comparison = suite.comparison()
    assert comparison.rows[2].entries[0].paired is None
    assert "the two were not tested on the same images" in " ".join(comparison.footnotes)


def test_results_from_before_outcomes_are_read_and_not_tested(suite: FakeSuite) -> None:
    path = suite.folder / "mixedae/cls/seed_0/result.json"
    result = json.loads(path.read_text())
    del result["outcomes"]
    path.write_text(json.dumps(result | {"schema_version": 1}))
    comparison = suite.comparison()
    entry = comparison.rows[2].entries[0]
    assert entry.values and entry.difference is not None and entry.paired is None
    note = next(note for note in comparison.footnotes if note.startswith("No paired test"))
    assert "MixedAE, CLS" in note and "random" not in note and "--force" in note


def test_outcomes_that_do_not_add_up_are_not_used(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path)
    suite.write_config("cls", outcomes="these images")
    suite.run(only="random/cls")
    folder = suite.folder / "random/cls/seed_0"
    record = json.loads((folder / "run_record.json").read_text())
    record["metrics"]["accuracy/top1"] += 5
    (folder / "run_record.json").write_text(json.dumps(record))
    (folder / "result.json").unlink()  # the harness was killed before it wrote it, and adopts the run now
    suite.run(only="random/cls")
    result = read_result(folder)
    assert result is not None and result.status == "ok" and result.outcomes is None
    assert "no paired test" in result.notes[0]


def epochs_suite(root: Path) -> FakeSuite:
    """MAE and MixedAE of 3 epochs, MAE of 6, and a published row of 6."""
    suite = FakeSuite(root)
    for name, epochs in (("mae", 3), ("mixedae", 3), ("long", 6)):
        suite.write_config(name, epochs=epochs)
    rows = [{"method": "Other", "epochs": 6, "values": {"top1": 77.7}}]
    tables = {"t": {"source": "Paper, Table 9", "columns": {"top1": "top-1"}, "rows": rows}}
    (root / "published.yaml").write_text(yaml.safe_dump({"tables": tables}))
    suite.write_card("cls", version=1, metrics=[{"key": "accuracy/top1", "name": "top-1", "published": "top1"}])
    suite.write_suite(
        tasks=["cls"],
        pretrainings={
            "random": {"random": True},
            "mae": {"config": str(root / "mae.py"), "title": "MAE"},
            "mixedae": {"config": str(root / "mixedae.py"), "title": "MixedAE"},
            "long": {"config": str(root / "long.py"), "title": "MAE, longer"},
        },
        published_rows=[{"table": "t", "method": "Other", "epochs": 6}],
    )
    return suite


def test_fewer_epochs_never_share_a_column_with_more(tmp_path: Path) -> None:
    suite = epochs_suite(tmp_path)
    assert suite.run()[0] == 0
    comparison = suite.comparison()
    blocks = {heading: [row.title for row in rows] for heading, rows in comparison.blocks()}
    assert blocks == {
        "3 epochs of pre-training": ["random", "MAE", "MixedAE"],
        "6 epochs of pre-training": ["random", "MAE, longer", "Other (published)"],
    }
    longer = next(row for row in comparison.rows if row.pretraining == "long")
    assert longer.baseline is None and longer.entries[0].difference is None
    assert "MAE, longer is not compared with MAE: other pre-training epochs." in comparison.footnotes
    markdown = RENDERERS["md"](comparison)
    tables = [part for part in markdown.split("\n\n") if part.startswith("|")]
    assert len(tables) == 2 and "MixedAE" not in tables[1] and "77.7" in tables[1] and "77.7" not in tables[0]
    assert RENDERERS["latex"](comparison).count(r"\begin{tabular}") == 2


def test_a_limited_run_never_stands_beside_a_published_number(tmp_path: Path) -> None:
    suite = epochs_suite(tmp_path)
    assert suite.run(limit=1)[0] == 0
    comparison = suite.comparison(limit=1)
    assert comparison.rows[0].entries[0].values
    assert not any(row.published_only or entry.published for row in comparison.rows for entry in row.entries)


def test_a_whole_name_selects_one_cell(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path, seeds=(1, 10)).workspace()
    assert [cell.name for cell in matching(suite.cells, "mae/cls/seed_1")] == ["mae/cls/seed_1"]
    assert len(matching(suite.cells, "mae/cls/seed")) == 2


def test_the_full_suite_compares_each_mixedae_with_mae_of_its_epochs() -> None:
    suite = load_suite(find_suite("full"))
    for name in suite.pretrainings:
        method, epochs = name.split("_")
        assert suite.baseline_of(name) == (f"mae_{epochs}" if method == "mixedae" else None)
        assert suite.pretrainings[name].published.epochs == int(epochs)  # type: ignore[union-attr]
    survey = Survey(Workspace(suite, Request(need_data=False)))
    assert [survey.epochs(name) for name in suite.pretrainings] == [300, 300, 800, 800, 1600, 1600]


def test_settings_are_never_chosen_on_what_is_measured(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path)
    suite.write_card("cls", version=1, selected_on="val")
    with pytest.raises(ConfigError, match="hold out other data"):
        load_card(tmp_path / "tasks/cls.yaml")
    suite.write_card("cls", version=1, selected_on="elsewhere")
    with pytest.raises(ConfigError, match="the splits are train, val"):
        load_card(tmp_path / "tasks/cls.yaml")
    suite.write_card("cls", version=1, selected_on="held_out", splits={"train": 8, "held_out": 2, "val": 20})
    assert any("chosen on `held_out`, held out from the training" in note for note in suite.comparison().footnotes)


def test_mcnemar_of_each_seed_is_kept(suite: FakeSuite) -> None:
    from mixedae.benchmark.store.outcomes import read_outcomes

    paired = suite.comparison().rows[2].entries[0].paired
    bits = []
    for name in ("mixedae", "mae"):
        path = suite.folder / Cell(name, "cls", 0).name / "outcomes.npz"
        bits.append(read_outcomes(path)[1]["accuracy/top1"].arrays["correct"])
    assert paired is not None and paired.mcnemar == {0: pytest.approx(mcnemar(*bits))}
