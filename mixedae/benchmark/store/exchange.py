"""Finished cells as files that travel: written on one machine, taken in on another, committed with the code."""

import csv
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.schema import explain
from mixedae.benchmark.store.results import RESULT, Result
from mixedae.benchmark.store.survey import Survey
from mixedae.benchmark.store.workspace import ELSEWHERE, Workspace
from mixedae.errors import ResultsError
from mixedae.files import replacing, write_json
from mixedae.records import OUTCOMES

COLUMNS = ("row", "task", "seed", "metric", "value", "n", "recipe", "commit", "cpu", "gpus", "minutes", "finished")
EPOCH = (1980, 1, 1, 0, 0, 0)  # of each file in an archive, so that the same cells give the same bytes
LARGEST = 50_000_000
NAME = re.compile(r"[^/\\]+(/[^/\\]+)+/seed_\d+/(result\.json|outcomes\.npz)")


def export_cells(survey: Survey, folder: Path) -> tuple[Path, Path, int]:
    """Write every finished cell: a table of values for people, and an archive that :func:`import_cells` takes in.

    Args:
        survey: of the suite.
        folder: to write ``<suite>.csv`` and ``<suite>.zip`` into.

    Returns:
        Both paths, and the number of cells.

    Raises:
        ResultsError: no cell is done.
    """
    results = survey.results()
    if not results:
        raise ResultsError(f"no cell of {survey.suite.name} is done: there is nothing to export")
    folder.mkdir(parents=True, exist_ok=True)
    table, archive = folder / f"{survey.suite.name}.csv", folder / f"{survey.suite.name}.zip"
    with replacing(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(row for cell, result in results.items() for row in _rows(cell, result))
    with replacing(archive) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as packed:
        for cell, result in results.items():
            source = survey.workspace.dir(cell)
            _add(packed, f"{cell.name}/{RESULT}", _without_places(result, survey.workspace).encode())
            if (source / OUTCOMES).is_file():
                _add(packed, f"{cell.name}/{OUTCOMES}", (source / OUTCOMES).read_bytes())
    return table, archive, len(results)


def import_cells(archive: Path, workspace: Workspace) -> tuple[list[str], list[str]]:
    """Take cells in that were finished elsewhere; cells that have a result here stay as they are.

    A pre-training comes without its checkpoint. Its transfers count as long as nothing that they depend on changes; to
    run one again its checkpoint has to be copied.

    Args:
        archive: written by :func:`export_cells`.
        workspace: of the same suite.

    Returns:
        Names of the cells that were taken, and of those that were there.

    Raises:
        ResultsError: the archive is damaged, of another suite, or holds something else. Nothing is taken then.
    """
    found = _read(archive)
    cells = {cell.name: cell for cell in workspace.cells}
    results = {}
    for name in {str(PurePosixPath(path).parent) for path in found}:
        try:
            results[name] = Result.model_validate_json(found[f"{name}/{RESULT}"])
        except KeyError:
            raise ResultsError(f"{archive}: {name} has no {RESULT}") from None
        except ValidationError as error:
            raise ResultsError(f"{archive}: {name} is damaged: {explain(error)}") from None
    if unknown := sorted(results.keys() - cells.keys()):
        raise ResultsError(
            f"{archive} holds {unknown[0]} ({len(unknown)} such), which {workspace.suite.name} does not have: take the "
            "suite that it was exported from, with its seeds (--seeds)"
        )
    taken, there = [], []
    for name, result in sorted(results.items()):
        folder = workspace.dir(cells[name])
        if (folder / RESULT).exists():
            there.append(name)
            continue
        folder.mkdir(parents=True, exist_ok=True)
        if f"{name}/{OUTCOMES}" in found:
            with replacing(folder / OUTCOMES) as temporary:
                temporary.write_bytes(found[f"{name}/{OUTCOMES}"])
        write_json(folder / ELSEWHERE, {"archive": archive.name, "commit": result.provenance.commit})
        result.write(folder)
        taken.append(name)
    return taken, there


def _rows(cell: Cell, result: Result) -> Iterator[tuple[object, ...]]:
    hardware, minutes = result.provenance.hardware, round(result.elapsed_s / 60, 1)
    gpus = " + ".join(map(str, hardware.get("gpus") or [])) or "none"
    shared = (result.identity.recipe_hash[:12], result.provenance.version, hardware.get("cpu"), gpus, minutes)
    values: dict[str, Any] = dict(result.values) or {"": ""}  # a pre-training has none
    for metric, value in values.items():
        yield (
            cell.pretraining, cell.task or "pretrain", cell.seed, metric, value, result.n or "", *shared,
            f"{result.finished:%Y-%m-%d}",
        )  # fmt: skip


def _without_places(result: Result, workspace: Workspace) -> str:
    """A result as JSON without the folders of the machine that made it."""
    content = result.model_dump(mode="json")
    content["command"] = ["python", *content["command"][1:]] if content["command"] else []
    text = json.dumps(content, indent=1)
    places = {str(workspace.folder): f"work_dirs/{workspace.suite.name}", str(workspace.root): "."}
    for place, name in places.items():
        text = text.replace(place, name)
    return text + "\n"


def _add(packed: zipfile.ZipFile, name: str, content: bytes) -> None:
    packed.writestr(zipfile.ZipInfo(name, EPOCH), content, zipfile.ZIP_DEFLATED)


def _read(archive: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(archive) as packed:
            infos = packed.infolist()
            if other := [info.filename for info in infos if not NAME.fullmatch(info.filename) or ".." in info.filename]:
                raise ResultsError(f"{archive} holds {other[0]}; expected an archive of bench.py export")
            if sum(info.file_size for info in infos) > LARGEST:
                raise ResultsError(f"{archive} unpacks to more than {LARGEST // 10**6} MB; results are small")
            return {info.filename: packed.read(info) for info in infos}
    except (OSError, zipfile.BadZipFile) as error:
        raise ResultsError(f"{archive} cannot be read ({error}); expected an archive of bench.py export") from None
