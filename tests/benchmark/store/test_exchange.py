"""Cells travel: exported, taken in elsewhere, the same table; no folder of this machine goes along."""

import zipfile
from pathlib import Path

import pytest

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.store.exchange import export_cells, import_cells
from mixedae.benchmark.store.workspace import ELSEWHERE
from mixedae.errors import ResultsError, WeightsError
from tests.benchmark.fake_suite import FakeSuite

PRE, CLS = Cell("mae", None, 0), Cell("mae", "cls", 0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FakeSuite:
    suite = FakeSuite(tmp_path_factory.mktemp("finished"))
    assert suite.run()[0] == 0
    return suite


@pytest.fixture
def archive(finished: FakeSuite, tmp_path: Path) -> Path:
    table, archive, count = export_cells(finished.survey(), tmp_path / "results")
    lines = table.read_text().splitlines()
    assert lines[0].startswith("row,task,seed,metric,value,n,recipe,commit,cpu") and count == 8
    assert len(lines) == 1 + 8 and any(line.startswith("mae,cls,0,accuracy/top1,") for line in lines)
    return archive


def test_another_machine_has_the_same_table(finished: FakeSuite, archive: Path, tmp_path: Path) -> None:
    there = finished.workspace(folder=tmp_path / "elsewhere")
    taken, known = import_cells(archive, there)
    assert len(taken) == 8 and known == []
    survey = finished.survey(folder=tmp_path / "elsewhere")
    assert all(state.kind == "done" for state in survey.states().values())
    ours, theirs = finished.comparison(), finished.comparison(folder=tmp_path / "elsewhere")
    assert ours.rows == theirs.rows
    assert import_cells(archive, there) == ([], sorted(taken))  # nothing is overwritten
    with pytest.raises(WeightsError, match=r"finished elsewhere. Copy its checkpoint .* or run the pre-training again"):
        survey.weights(CLS)
    (there.dir(PRE) / ELSEWHERE).unlink()
    assert finished.survey(folder=tmp_path / "elsewhere").state(PRE).kind == "damaged"


def test_what_is_imported_goes_stale_as_everything_does(finished: FakeSuite, archive: Path, tmp_path: Path) -> None:
    import_cells(archive, finished.workspace(folder=tmp_path / "elsewhere"))
    finished.write_config("cls", value="new")
    try:
        assert finished.survey(folder=tmp_path / "elsewhere").state(CLS).kind == "stale"
    finally:
        finished.write_config("cls")


def test_no_folder_of_the_machine_is_in_the_files(finished: FakeSuite, archive: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        texts = [packed.read(name).decode(errors="ignore") for name in packed.namelist()]
    assert not any(str(finished.folder) in text for text in texts)
    _, second, _ = export_cells(finished.survey(), archive.parent / "second")
    assert second.read_bytes() == archive.read_bytes()  # committed files change only with their cells


@pytest.mark.parametrize("harm", ["truncated", "foreign file", "edited", "upwards"])
def test_bad_archives_are_refused_and_nothing_is_taken(
    harm: str, finished: FakeSuite, archive: Path, tmp_path: Path
) -> None:
    if harm == "truncated":
        archive.write_bytes(archive.read_bytes()[:-40])
    elif harm == "edited":
        with zipfile.ZipFile(archive) as packed:
            content = {name: packed.read(name) for name in packed.namelist()}
        content["mae/cls/seed_0/result.json"] = content["mae/cls/seed_0/result.json"].replace(
            b'"seed": 0', b'"seed": 7'
        )
        with zipfile.ZipFile(archive, "w") as packed:
            for name, data in content.items():
                packed.writestr(name, data)
    else:
        with zipfile.ZipFile(archive, "a") as packed:
            packed.writestr("x.py" if harm == "foreign file" else "../../mae/seed_0/result.json", "{}")
    workspace = finished.workspace(folder=tmp_path / "elsewhere")
    with pytest.raises(ResultsError):
        import_cells(archive, workspace)
    assert not list(workspace.folder.rglob("result.json"))


def test_nothing_to_export_is_said(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no cell of fake is done"):
        export_cells(FakeSuite(tmp_path).survey(), tmp_path / "out")
