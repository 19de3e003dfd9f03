"""What a command was given for a suite, and what the suite's folder remembers of it for the next command."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mixedae.benchmark.plan.launch import Launch
from mixedae.benchmark.plan.schema import Strict, explain
from mixedae.errors import ResultsError
from mixedae.files import read_json, write_json

SETTINGS = "settings.json"
OLD = {"data": "data.json", "checkpoints": "checkpoints.json", "launch": "launch.json"}  # before there was one file


@dataclass(frozen=True)
class Request:
    """What a command was given beside the suite.

    Attributes:
        folder: where the cells live; default ``work_dirs/<suite>``.
        data: name to folder of the data, instead of the environment's and the default places.
        checkpoints: name of a row to the file that takes the place of its pre-training.
        launch: how the processes of a cell are started; default: as the last run of the suite did.
        seeds: instead of the suite's.
        limit: iterations that every run is held to. Such cells live in a folder of their own.
        need_data: False for a table on a machine without the data: fingerprints are then not compared.
    """

    folder: Path | None = None
    data: Mapping[str, Path] = field(default_factory=dict)
    checkpoints: Mapping[str, Path] = field(default_factory=dict)
    launch: Launch | None = None
    seeds: tuple[int, ...] | None = None
    limit: int | None = None
    need_data: bool = True


class Settings(Strict):
    """What a suite's folder remembers of the commands so far.

    Attributes:
        data: name to folder of the data.
        checkpoints: name of a row to its file.
        launch: how the processes of a cell were last started.
    """

    data: dict[str, Path] = {}
    checkpoints: dict[str, Path] = {}
    launch: Launch = Launch()

    def with_request(self, request: Request) -> "Settings":
        """These settings, with what a command was given on top."""
        return Settings(
            data={**self.data, **request.data},
            checkpoints={**self.checkpoints, **request.checkpoints},
            launch=request.launch or self.launch,
        )

    def write(self, folder: Path) -> None:
        """Write ``settings.json`` in the suite's folder, in one step."""
        write_json(folder / SETTINGS, self.model_dump(mode="json"))


def read_settings(folder: Path) -> Settings:
    """What the suite's folder remembers; nothing if it is new. The three files of older versions are read too.

    Raises:
        ResultsError: the file is damaged; the message names it.
    """
    path = folder / SETTINGS
    found: Any = None
    if path.exists():
        found = read_json(path) if path.is_file() else None
    else:
        found = {name: read_json(folder / file) for name, file in OLD.items() if (folder / file).is_file()}
    try:
        return Settings.model_validate(found)
    except (ValidationError, ValueError) as error:
        names = SETTINGS if path.exists() else ", ".join(OLD[name] for name in found)
        what = explain(error) if isinstance(error, ValidationError) else str(error)
        raise ResultsError(
            f"{folder}: {names} does not hold the settings of a suite ({what}); delete it and give --data, "
            "--checkpoint and --launcher again"
        ) from None
