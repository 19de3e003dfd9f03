"""Statistics and renderings: against numpy, and read back from every format."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedae.benchmark.table.compare import Comparison
from mixedae.benchmark.table.layout import number
from mixedae.benchmark.table.render import RENDERERS
from mixedae.benchmark.table.stats import Spread, paired_difference, spread
from tests.benchmark.fake_suite import FakeSuite, renderings

numbers = st.floats(0, 100, allow_nan=False).map(lambda x: round(x, 3))
by_seed = st.dictionaries(st.integers(0, 5), numbers, max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.lists(numbers, max_size=6))
def test_spread_is_numpys(values: list[float]) -> None:
    found = spread(values)
    if not values:
        assert found is None
        return
    assert found is not None and found.n == len(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.std == (pytest.approx(np.std(values, ddof=1), abs=1e-9) if len(values) > 1 else None)


@settings(deadline=None, max_examples=100)
@given(by_seed, by_seed)
def test_paired_difference_is_numpys_over_common_seeds(ours: dict[int, float], baseline: dict[int, float]) -> None:
    common = sorted(ours.keys() & baseline.keys())
    found = paired_difference(ours, baseline)
    if not common:
        assert found is None
        return
    differences = np.array([ours[s] for s in common]) - np.array([baseline[s] for s in common])
    assert found is not None and found.n == len(common)
    assert found.mean == pytest.approx(differences.mean(), abs=1e-9)
    assert found.std == (pytest.approx(differences.std(ddof=1), abs=1e-9) if len(common) > 1 else None)


def test_pairing_removes_what_the_seeds_share() -> None:
    """A seed effect that both methods have does not widen the difference; an unpaired one would drown."""
    baseline = {0: 50.0, 1: 60.0, 2: 70.0}
    ours = {seed: value + 1.0 for seed, value in baseline.items()}
    found = paired_difference(ours, baseline)
    assert found is not None and found.mean == pytest.approx(1.0) and found.std == pytest.approx(0.0, abs=1e-9)
    assert spread(list(ours.values())).std == pytest.approx(10.0)  # type: ignore[union-attr]


def test_numbers() -> None:
    assert number(Spread(mean=71.26, std=None, n=1)) == "71.3"
    assert number(Spread(mean=71.26, std=None, n=1), seeds=3) == "71.3 (n=1)"
    assert number(Spread(mean=71.26, std=0.44, n=3), seeds=3) == "71.3 ± 0.4"
    assert number(Spread(mean=71.26, std=0.44, n=2), seeds=3) == "71.3 ± 0.4 (n=2)"
    assert number(Spread(mean=1.26, std=0.44, n=3), signed=True) == "+1.3 ± 0.4"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> FakeSuite:
    """Two seeds; MixedAE's detection fails with seed 1, in words that every format must escape."""
    suite = FakeSuite(tmp_path_factory.mktemp("table"), seeds=(0, 1))
    assert suite.run()[0] == 0
    result = json.loads((suite.folder / "mixedae/det/seed_1/result.json").read_text())
    result |= {"status": "failed", "reason": "ValueError: 50% of {x_1} | [y] & $z\\", "values": {}}
    (suite.folder / "mixedae/det/seed_1/result.json").write_text(json.dumps(result))
    return suite


@pytest.fixture(scope="module")
def comparison(suite: FakeSuite) -> Comparison:
    return suite.comparison()


def test_rows_columns_differences(suite: FakeSuite, comparison: Comparison) -> None:
    assert [row.title for row in comparison.rows] == ["random init", "MAE", "MixedAE"]
    assert [column.name for column in comparison.columns] == ["top-1", "box AP"]
    for row in comparison.rows:
        for column, entry, base in zip(comparison.columns, row.entries, comparison.rows[1].entries, strict=True):
            for seed, value in entry.values.items():
                path = suite.folder / row.pretraining / column.task / f"seed_{seed}" / "result.json"
                assert json.loads(path.read_text())["values"][column.metric] == value
            if row.pretraining == "mae":
                assert entry.difference is None
            else:
                assert entry.difference == paired_difference(entry.values, base.values)
    failed = comparison.rows[2].entries[1]
    assert failed.values.keys() == {0} and failed.missing.keys() == {1}
    assert failed.difference is not None and failed.difference.n == 1


def test_every_format_carries_watermark_notes_and_reasons(comparison: Comparison) -> None:
    for name, text in renderings(comparison).items():
        assert "Not real" in text, name
        assert "ValueError: 50" in text, name
        assert "MixedAE" in text or "mixedae" in text


def test_json_reads_back(comparison: Comparison) -> None:
    assert Comparison.model_validate_json(RENDERERS["json"](comparison)) == comparison


def test_csv_reads_back(comparison: Comparison) -> None:
    lines = list(csv.DictReader(io.StringIO(RENDERERS["csv"](comparison))))
    assert len(lines) == 6
    for line, (row, column) in zip(lines, [(r, c) for r in comparison.rows for c in comparison.columns], strict=True):
        entry = row.entries[comparison.columns.index(column)]
        assert (line["pretraining"], line["task"], line["metric"]) == (row.pretraining, column.task, column.name)
        assert entry.spread is not None
        assert float(line["mean"]) == entry.spread.mean and int(line["n"]) == entry.spread.n
        assert (float(line["std"]) if line["std"] else None) == entry.spread.std
        if entry.difference is not None:
            assert float(line["difference_mean"]) == entry.difference.mean
    assert lines[-1]["missing"].startswith("seed 1: failed: ValueError")


def test_markdown_reads_back(comparison: Comparison) -> None:
    lines = [line for line in RENDERERS["md"](comparison).splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert table[0] == ["", "top-1", "Δ MAE", "box AP", "Δ MAE"]
    assert {len(row) for row in table} == {5}
    for row, cells in zip(comparison.rows, table[2:], strict=True):
        assert cells[0] == row.title
        for entry, value, difference in zip(row.entries, cells[1::2], cells[2::2], strict=True):
            assert entry.spread is not None
            assert float(value.split()[0]) == pytest.approx(entry.spread.mean, abs=0.051)
            if entry.difference:
                assert float(difference.split()[0]) == pytest.approx(entry.difference.mean, abs=0.051)
    assert table[-1][3].endswith("(n=1) [1]")


def test_latex_is_balanced_and_escaped(comparison: Comparison) -> None:
    text = RENDERERS["latex"](comparison)
    assert text.count(r"\begin{") == text.count(r"\end{")
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert [len(re.findall(r"(?<!\\)&", row)) for row in rows] == [4] * 4
    note = next(line for line in text.splitlines() if "ValueError" in line)
    assert r"50\% of \{x\_1\} | {[}y{]} \& \$z\textbackslash{}" in note
    assert len(re.findall(r"(?<!\\)\{", text)) == len(re.findall(r"(?<!\\)\}", text))
    assert len(re.findall(r"(?<!\\)\$", text)) % 2 == 0


def test_incomplete_suite_has_a_table(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path)
    comparison = suite.comparison()
    assert comparison.rows[1].entries[0].missing == {0: "waiting: its pre-training is not done (not run yet)"}
    assert comparison.rows[0].entries[0].missing == {0: "not run yet"}
    for text in renderings(comparison).values():
        assert "not run yet" in text
    assert suite.run(only="random/cls")[0] == 0
    assert suite.comparison().rows[0].entries[0].values


def published_suite(root: Path, epochs: int) -> FakeSuite:
    """A suite whose pre-trainings have published counterparts; the fake trainer runs ``epochs`` epochs."""
    suite = FakeSuite(root)
    rows = [
        {"method": "MAE", "epochs": 3, "values": {"top1": 50.0}},
        {"method": "MixedAE", "epochs": 3, "values": {"top1": 50.4}, "derived": {"top1": "50.0 + 0.4"}},
    ]
    tables = {"t": {"source": "Paper, Table 9", "columns": {"top1": "top-1"}, "rows": rows}}
    (root / "published.yaml").write_text(yaml.safe_dump({"tables": tables}))
    metric = {"key": "accuracy/top1", "name": "top-1", "published": "top1", "tolerance": 100.0}
    suite.write_card("cls", version=1, metrics=[metric])
    refs = {"mae": "MAE", "mixedae": "MixedAE"}
    for name in refs:
        suite.write_config(name, epochs=epochs)
    suite.write_suite(
        pretrainings={
            name: {
                "config": str(root / f"{name}.py"),
                "title": method,
                "published": {"table": "t", "method": method, "epochs": 3},
            }
            for name, method in refs.items()
        }
    )
    assert suite.run()[0] == 0
    return suite


def test_published_numbers_stand_beside_ours_of_the_same_epochs(tmp_path: Path) -> None:
    comparison = published_suite(tmp_path, epochs=3).comparison()
    published = comparison.rows[1].entries[0].published
    assert published is not None
    assert (published.value, published.difference, published.epochs) == (50.4, 0.4, 3)
    assert published.reproduced is True and published.derived == "50.0 + 0.4"
    assert comparison.rows[0].entries[0].published.difference is None  # type: ignore[union-attr]
    assert comparison.rows[1].entries[1].published is None  # the card names no column for box AP
    markdown = RENDERERS["md"](comparison)
    assert "(paper 50.4 ✓)" in markdown and "(paper +0.4 " in markdown and "Paper, Table 9" in markdown


def test_fewer_epochs_never_stand_beside_published_ones(tmp_path: Path) -> None:
    comparison = published_suite(tmp_path, epochs=2).comparison()
    assert all(entry.published is None for row in comparison.rows for entry in row.entries)
    assert any("published at 3 epochs, ours has 2" in note for note in comparison.footnotes)
    assert "(paper" not in RENDERERS["md"](comparison)
