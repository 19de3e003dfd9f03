"""Cards, suites and published numbers: strict, and the error names the nearest known key."""

from pathlib import Path

import pytest
import yaml

from mixedae.benchmark.plan.cards import Metric, load_card
from mixedae.benchmark.plan.published import PublishedRef, load_published
from mixedae.benchmark.plan.suites import BENCHMARK, Cell, load_suite
from mixedae.errors import ConfigError, ResultsError
from tests.benchmark.fake_suite import FakeSuite


def change(path: Path, **changes: object) -> None:
    data = yaml.safe_load(path.read_text())
    data |= changes
    path.write_text(yaml.safe_dump(data))


@pytest.mark.parametrize(
    ("file", "changes", "expected"),
    [
        ("tasks/cls.yaml", {"recpie": "x"}, "unknown key `recpie`; did you mean `recipe`"),
        (
            "tasks/cls.yaml",
            {"metrics": [{"key": "a", "nmae": "b"}]},
            "metrics.0: unknown key `nmae`; did you mean `name`",
        ),
        ("tasks/cls.yaml", {"metrics": []}, "metrics"),
        ("tasks/cls.yaml", {"version": 0}, "version"),
        ("tasks/cls.yaml", {"name": "other"}, "expected `cls`"),
        ("tasks/cls.yaml", {"evaluated_on": "test"}, "the splits are train, val"),
        ("suites/fake.yaml", {"sedes": [1]}, "unknown key `sedes`; did you mean `seeds`"),
        ("suites/fake.yaml", {"baseline": "mea"}, "did you mean `mae`"),
        ("suites/fake.yaml", {"pretrainings": {"a": {"random": True, "config": "x"}}}, "pretrainings.a: give either"),
        ("suites/fake.yaml", {"pretrainings": {"a": {}}}, "give either"),
        ("suites/fake.yaml", {"pretrainings": {"a": {"config": "x", "checkpoint": "y"}}}, "give either"),
        ("suites/fake.yaml", {"pretrainings": {"a": {"confg": "x"}}}, "did you mean `config`"),
        ("suites/fake.yaml", {"pretrainings": {"../a": {"random": True}}}, "pretrainings"),
        ("suites/fake.yaml", {"tasks": ["cls", "cls"]}, "task `cls` is listed twice"),
        ("suites/fake.yaml", {"tasks": [{"task": "cls", "confg": "x"}]}, "tasks.0: unknown key `confg`"),
        ("suites/fake.yaml", {"tasks": ["clss"]}, "clss.yaml does not exist"),
        ("suites/fake.yaml", {"seeds": [0, 0]}, "seed `0` is listed twice"),
        ("suites/fake.yaml", {"seeds": [-1]}, "seeds"),
        ("suites/fake.yaml", {"pretraining_data": None}, "pretraining_data is missing"),
        (
            "suites/fake.yaml",
            {
                "pretrainings": {
                    "mae": {"config": "x", "published": {"table": "mixedae_table1", "method": "MAE", "epochs": 3}}
                }
            },
            "has no row `MAE 3`",
        ),
    ],
)
def test_wrong_files_are_config_errors_that_name_file_place_and_cure(
    tmp_path: Path, file: str, changes: dict[str, object], expected: str
) -> None:
    suite = FakeSuite(tmp_path)
    change(tmp_path / file, **changes)
    with pytest.raises(ConfigError) as error:
        load_suite(suite.path)
    assert expected in str(error.value)
    if expected not in ("clss.yaml does not exist", "has no row `MAE 3`"):  # these two name another file
        assert Path(file).name in str(error.value)


def test_absent_broken_and_doubled_files(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path)
    with pytest.raises(ConfigError, match=r"fak\.yaml does not exist; did you mean `fake`"):
        load_suite(suite.path.with_name("fak.yaml"))
    suite.path.write_text("title: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_suite(suite.path)
    suite.path.write_text("title: a\nseeds: [0]\nseeds: [1]\n")
    with pytest.raises(ConfigError, match="`seeds` is given twice"):
        load_suite(suite.path)


def test_cells_and_selection(tmp_path: Path) -> None:
    suite = load_suite(FakeSuite(tmp_path, seeds=(0, 3)).path)
    cells = suite.cells()
    assert len(cells) == len(set(cells)) == 2 * (2 + 3 * 2)
    for cell in cells:  # a pre-training comes before what waits for it
        parent = suite.parent_of(cell)
        assert parent is None or cells.index(parent) < cells.index(cell)
    assert suite.parent_of(Cell("random", "cls", 0)) is None
    chosen = suite.select(cells, "mixedae/det/*")
    assert [cell.name for cell in chosen] == [
        "mixedae/pretrain/seed_0",
        "mixedae/det/seed_0",
        "mixedae/pretrain/seed_3",
        "mixedae/det/seed_3",
    ]
    assert {cell.task for cell in suite.select(cells, "random")} == {"cls", "det"}
    with pytest.raises(ConfigError, match="matches no cell"):
        suite.select(cells, "mea")


def test_metric_reads_scales_and_refuses() -> None:
    plain = Metric(key="mIoU", name="mIoU")
    ap = Metric(key="coco/bbox_mAP", name="box AP", scale=100, zero_when_absent=True)
    assert plain.read({"mIoU": 41.5, "aAcc": 70.0}) == 41.5
    assert ap.read({"coco/bbox_mAP": 0.123}) == pytest.approx(12.3)
    assert ap.read({}) == 0.0  # nothing was detected
    with pytest.raises(ResultsError, match="no `mIoU`; it measured: aAcc"):
        plain.read({"aAcc": 1.0})
    for bad in (float("nan"), float("inf"), -1.0):
        with pytest.raises(ResultsError, match="finite number"):
            ap.read({"coco/bbox_mAP": bad})


def test_every_shipped_card_and_suite_loads() -> None:
    cards = [load_card(path) for path in sorted((BENCHMARK / "tasks").glob("*.yaml"))]
    suites = [load_suite(path) for path in sorted((BENCHMARK / "suites").glob("*.yaml"))]
    assert {"quickstart", "mini_long", "real_small"} <= {suite.name for suite in suites}
    tables = load_published(BENCHMARK / "published.yaml").tables
    columns = {
        column
        for table in ("mixedae_table1", "mixedae_table2", "efficient_probing")
        for column in tables[table].columns
    }
    for card in cards:
        for metric in card.metrics:
            assert metric.published is None or metric.published in columns
            assert (metric.tolerance is None) == (metric.tolerance_source is None)
    for suite in suites:
        if suite.name == "full":
            assert suite.baseline is None  # each MixedAE names MAE of its epochs
            continue
        assert suite.baseline in suite.pretrainings
        ablates = suite.name == "mini_ablation"  # Table 3f: from neither component
        assert ablates or suite.baseline == "mae" or "mae" not in suite.pretrainings, suite.name
        small = any("/mini/" in (p.config or "") for p in suite.pretrainings.values())
        assert suite.watermark or not small, suite.name  # small data do not rank methods


# The differences to MAE that Table 1 prints beside MixedAE's numbers: an independent check of what was typed.
PRINTED = {
    ("MixedAE", 300): (0.4, 0.9, 0.6, 0.8, 0.7, 0.5, 0.7, 0.6),
    ("MixedAE-Full*", 300): (1.0, 1.3, 1.7, 1.8, 2.0, 1.4, 1.9, 1.5),
    ("MixedAE-Full", 300): (1.1, 2.8, 3.8, 3.9, 3.9, 3.0, 4.1, 3.5),
    ("MixedAE", 800): (0.2, 1.5, 0.9, 1.0, 0.9, 0.6, 0.7, 0.8),
    ("MixedAE", 1600): (0.3, 1.7, 0.9, 0.8, 0.9, 0.7, 0.9, 0.7),
}


@pytest.mark.parametrize(("method", "epochs"), PRINTED)
def test_published_rows_agree_with_the_printed_differences(method: str, epochs: int) -> None:
    published = load_published(BENCHMARK / "published.yaml")
    table, row = published.row(PublishedRef(table="mixedae_table1", method=method, epochs=epochs))
    _, mae = published.row(PublishedRef(table="mixedae_table1", method="MAE", epochs=epochs))
    assert len(table.rows) == 17
    differences = [row.values[column] - mae.values[column] for column in table.columns]
    assert differences == pytest.approx(PRINTED[method, epochs])
