"""A cell's folder between two runs: what the last attempt was made of, whether it can go on, and emptying it safely."""

import re
import shutil
from pathlib import Path

from mixedae.benchmark.store.results import LOG, RESULT, Identity, Provenance
from mixedae.errors import ResultsError
from mixedae.files import read_json, write_json
from mixedae.launchers import LOGS as RANK_LOGS
from mixedae.records import OUTCOMES, PROGRESS, RECORD

ATTEMPT = "attempt.json"
LOCK = ".lock"
WRITTEN = re.compile(
    "|".join(
        re.escape(name) for name in (RESULT, RECORD, PROGRESS, OUTCOMES, LOG, RANK_LOGS, "last_checkpoint", "vis_data")
    )
    + r"|(epoch|iter|best)_.*\.pth|\d{8}_\d{6}|\..*\.tmp|\.run\.lock"
)
"""Names of what a training and this harness write into a cell's folder, a folder for each start among them."""


def prepare(folder: Path, identity: Identity, provenance: Provenance, resume: bool) -> None:
    """Make a cell's folder ready for a run and note what the run is made of.

    Args:
        folder: the cell's folder, whose lock the caller holds.
        identity: what the run will be made of.
        provenance: the code and machine that make the run. If this harness is killed, a later one finds the run and
            records these instead of its own.
        resume: keep checkpoints and log; otherwise the folder is emptied.
    """
    if not resume:
        clear(folder)
    for name in (RESULT, RECORD, PROGRESS, OUTCOMES):  # of an earlier run; they must not be mistaken for this one's
        (folder / name).unlink(missing_ok=True)
    note = {"key": identity.key, "identity": identity.model_dump(), "provenance": provenance.model_dump()}
    write_json(folder / ATTEMPT, note)


def attempted(folder: Path, identity: Identity) -> bool:
    """Whether what lies in the folder was made of the same content."""
    attempt = read_json(folder / ATTEMPT, default={})
    return isinstance(attempt, dict) and attempt.get("key") == identity.key


def attempted_by(folder: Path) -> Provenance | None:
    """The code and machine of the last attempt; None if it was not noted."""
    attempt = read_json(folder / ATTEMPT, default={})
    try:
        return Provenance.model_validate(attempt["provenance"])
    except (KeyError, TypeError, ValueError):
        return None


def has_checkpoint(folder: Path) -> bool:
    """Whether a trainer left a checkpoint to resume from."""
    return any(not path.name.startswith("best_") for path in folder.glob("*.pth"))


def clear(folder: Path) -> None:
    """Remove what an earlier run wrote into a cell's folder. What somebody else put there stays.

    Raises:
        ResultsError: the folder holds files and none of the harness's own, so it may be somebody's data.
    """
    inside = [path for path in folder.iterdir() if path.name not in (LOCK, ATTEMPT)]
    ours = any((folder / name).exists() for name in (ATTEMPT, RESULT))
    if not ours and any(not path.name.startswith(".") for path in inside):
        raise ResultsError(
            f"{folder} holds files that this harness did not write; move them or choose another --work-dir"
        )
    for path in inside:
        if not WRITTEN.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
