"""What a suite remembers between two commands: one file, the three of older versions, and nothing damaged."""

import json
from pathlib import Path

import pytest

from mixedae.benchmark.plan.launch import Launch
from mixedae.benchmark.store.settings import Request, Settings, read_settings
from mixedae.errors import ResultsError
from tests.benchmark.fake_suite import FakeSuite

TORCHRUN = Launch(kind="torchrun", processes=2)


def test_settings_read_back(tmp_path: Path) -> None:
    given = Request(data={"toy": tmp_path}, checkpoints={"mine": tmp_path / "a.pth"}, launch=TORCHRUN)
    settings = read_settings(tmp_path).with_request(given)
    settings.write(tmp_path)
    assert read_settings(tmp_path) == settings
    assert settings == Settings(data={"toy": tmp_path}, checkpoints={"mine": tmp_path / "a.pth"}, launch=TORCHRUN)


def test_a_later_command_adds_and_replaces(tmp_path: Path) -> None:
    first = Settings().with_request(Request(data={"a": Path("1"), "b": Path("2")}, launch=TORCHRUN))
    second = first.with_request(Request(data={"b": Path("3")}))
    assert second.data == {"a": Path("1"), "b": Path("3")} and second.launch == TORCHRUN


def test_the_three_files_of_older_versions_are_read(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text('{"toy": "/somewhere"}')
    (tmp_path / "launch.json").write_text(TORCHRUN.model_dump_json())
    (tmp_path / "checkpoints.json").write_text('{"mine": "/a.pth"}')
    found = read_settings(tmp_path)
    assert (found.data, found.checkpoints) == ({"toy": Path("/somewhere")}, {"mine": Path("/a.pth")})
    assert found.launch == TORCHRUN
    Settings().write(tmp_path)  # the one file takes their place
    assert read_settings(tmp_path) == Settings()


@pytest.mark.parametrize("name", ["settings.json", "data.json", "launch.json", "checkpoints.json"])
@pytest.mark.parametrize("text", ["[1, 2]", '{"data": 3, "toy": 4, "kind": "rocket"}', "{", "null", '"text"'])
def test_files_that_hold_something_else_are_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ResultsError, match=f"{name} does not hold the settings of a suite .*; delete it"):
        read_settings(tmp_path)


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "settings.json").mkdir()
    with pytest.raises(ResultsError, match=r"settings\.json does not hold"):
        read_settings(tmp_path)


def test_the_environment_goes_before_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = FakeSuite(tmp_path)
    suite.workspace().remember()
    assert json.loads((suite.folder / "settings.json").read_text())["data"] == {"toy": str(tmp_path / "data")}
    assert suite.workspace(data={}).data.given == {"toy": tmp_path / "data"}
    monkeypatch.setenv("MIXEDAE_DATA_TOY", str(tmp_path / "other"))
    assert suite.workspace(data={}).data.given == {}
    assert suite.workspace(data={"toy": tmp_path / "third"}).data.given == {"toy": tmp_path / "third"}
