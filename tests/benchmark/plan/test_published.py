"""The published tables' own arithmetic: differences, averages and shares must follow from the values, to rounding."""

from statistics import fmean, pstdev, stdev

import pytest

from mixedae.benchmark.plan.published import Published, PublishedRef, load_published
from mixedae.benchmark.plan.suites import BENCHMARK
from mixedae.errors import ConfigError

PUBLISHED = load_published(BENCHMARK / "published.yaml")
ROUNDING = 0.05  # half of the last printed digit


def value(published: Published, table: str, method: str, epochs: int, column: str) -> float:
    found = published.row(PublishedRef(table=table, method=method, epochs=epochs))[1].values[column]
    assert found is not None
    return found


def test_the_tables_are_whole() -> None:
    """Every row of Tables 1 to 3 of the paper, with every column that the paper fills."""
    counts = {name: len(table.rows) for name, table in PUBLISHED.tables.items()}
    assert counts["mixedae_table1"] == 17 and counts["mixedae_table2"] == 10
    assert [counts[f"mixedae_table3{part}"] for part in "abcdef"] == [2, 2, 2, 4, 4, 4]
    only_imagenet = {"MixMIM", "CIM-RevDet", "CIM-ResPix"}
    for row in PUBLISHED.tables["mixedae_table1"].rows:
        assert len(row.values) == (1 if row.method in only_imagenet else 8), row.method
        assert row.gpu_days is not None
    assert all(len(row.values) == 12 for row in PUBLISHED.tables["mixedae_table2"].rows)


def test_printed_differences_are_those_to_mae_of_the_same_epochs() -> None:
    checked = 0
    for row in PUBLISHED.tables["mixedae_table1"].rows:
        if row.method.startswith("MixedAE"):
            assert row.epochs is not None and len(row.printed_differences) == 8
        for column, printed in row.printed_differences.items():
            assert row.epochs is not None
            mae = value(PUBLISHED, "mixedae_table1", "MAE", row.epochs, column)
            assert row.values[column] is not None
            assert row.values[column] - mae == pytest.approx(printed, abs=1e-9), (row.method, row.epochs, column)  # type: ignore[operator]
            checked += 1
    assert checked == 5 * 8


def test_averages_of_the_eleven_sets() -> None:
    for row in PUBLISHED.tables["mixedae_table2"].rows:
        eleven = [number for column, number in row.values.items() if column != "average" and number is not None]
        assert len(eleven) == 11
        assert fmean(eleven) == pytest.approx(row.values["average"], abs=2 * ROUNDING), row.method


def test_mixedae_is_above_mae_on_all_eleven_sets() -> None:
    """The paper says so; a misread digit would show."""
    rows = {row.method: row.values for row in PUBLISHED.tables["mixedae_table2"].rows}
    assert all(rows["MixedAE"][column] > rows["MAE"][column] for column in rows["MAE"])  # type: ignore[operator]


def test_claims_follow_from_the_table_as_they_say() -> None:
    days = {(row.method, row.epochs): row.gpu_days or 0.0 for row in PUBLISHED.tables["mixedae_table1"].rows}
    claims = {claim.printed: claim.by_table for claim in PUBLISHED.tables["mixedae_table1"].claims}
    expected = {
        53.4: 100 * days["MixedAE", 1600] / days["iBOT", 1600],
        23.4: 100 * (1 - days["MixedAE-Full*", 300] / days["MixMIM", 300]),
        3.0: 100 * (days["MixedAE", 300] / days["MAE", 300] - 1),
    }
    assert claims.keys() == expected.keys()
    for printed, computed in expected.items():
        assert claims[printed] == pytest.approx(computed, abs=ROUNDING), printed
    assert claims[53.4] == 52.4  # the paper's sentence and its table differ; both stand


def test_ablation_tables_agree_with_each_other_and_with_the_text() -> None:
    def cell(part: str, method: str) -> tuple[float | None, float | None]:
        row = PUBLISHED.row(PublishedRef(table=f"mixedae_table3{part}", method=method, epochs=300))[1]
        return row.values["acc"], row.values["miou"]

    assert cell("f", "neither") == cell("a", "r = 0.25")
    assert cell("f", "contrastive") == cell("b", "after LN") == cell("c", "separate")
    assert cell("f", "contrastive") == cell("d", "K = 1.0 L (no sampling)")
    assert cell("d", "K = 0.25 L") == cell("e", "none")
    assert cell("f", "both") == cell("e", "1st")
    assert cell("f", "neither")[1] - cell("f", "attention")[1] == pytest.approx(0.5)  # type: ignore[operator]
    assert cell("c", "separate")[1] - cell("c", "mean")[1] == pytest.approx(0.2)  # type: ignore[operator]


@pytest.mark.parametrize(("table", "deviation"), [("seed_spread_finetune", pstdev), ("seed_spread_whole", stdev)])
def test_seed_spreads(table: str, deviation: object) -> None:
    for row in PUBLISHED.tables[table].rows:
        runs = [number for column, number in row.values.items() if column not in ("mean", "std")]
        assert fmean(runs) == pytest.approx(row.values["mean"], abs=0.0071)  # type: ignore[type-var]
        assert deviation(runs) == pytest.approx(row.values["std"], abs=0.0051)  # type: ignore[operator]


def test_what_is_derived_says_from_what_and_has_a_value() -> None:
    for name, table in PUBLISHED.tables.items():
        assert table.source and table.columns
        for row in table.rows:
            for column, reason in row.derived.items():
                assert row.values[column] is not None and len(reason) > 10, (name, row.method)


def test_an_unknown_row_is_named() -> None:
    with pytest.raises(ConfigError, match="has no row `MAE 301`"):
        PUBLISHED.row(PublishedRef(table="mixedae_table1", method="MAE", epochs=301))
