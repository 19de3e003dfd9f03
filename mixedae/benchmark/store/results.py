"""result.json: the one schema of what a cell leaves behind, and the content key that says whether it still holds."""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, ValidationError, model_validator

from mixedae.benchmark.plan.schema import Strict, explain
from mixedae.datasets.fingerprint import content_hash
from mixedae.errors import NonFiniteLossError, ResultsError
from mixedae.files import write_text
from mixedae.records import RECORD, RunRecord

RESULT = "result.json"
LOG = "log.txt"
UNPAIRED = "no paired test"  # begins the note of a result without outcomes per image


class Identity(Strict):
    """What a cell is cached by, as content: never a path, never a name. The code's commit is recorded beside it.

    Attributes:
        weights_sha256: of the pre-trained checkpoint's bytes; None for random initialisation and for a pre-training.
        recipe_hash: of the resolved config.
        dataset_fingerprint: of the data's names and contents.
        card_version: of the task card; None for a pre-training.
        seed: random seed.
        effective_batch: images in one optimizer step over all processes.
        precision: ``fp32``, ``amp-fp16`` or ``amp-bf16``.
        limit: iterations that a shortened run was held to; None for a full one.
    """

    weights_sha256: str | None
    recipe_hash: str
    dataset_fingerprint: str | None
    card_version: int | None
    seed: int
    effective_batch: int
    precision: str
    limit: int | None = None

    @property
    def key(self) -> str:
        """sha256 over all of it: the cache key."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()

    def changes(self, current: "Identity") -> str:
        """In words, what differs between this (recorded) identity and the current one; empty if nothing differs."""
        words = {
            "weights_sha256": "the pre-trained weights",
            "recipe_hash": "the recipe",
            "dataset_fingerprint": "the data",
            "card_version": "the card's version",
            "seed": "the seed",
            "effective_batch": "the effective batch",
            "precision": "the precision",
            "limit": "the limit",
        }
        changed = [word for field, word in words.items() if getattr(self, field) != getattr(current, field)]
        return f"{' and '.join(changed)} changed" if changed else ""


class Checkpoint(Strict):
    """A checkpoint file and its content's hash; size and time tell cheaply whether the hash still holds."""

    file: str
    sha256: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> "Checkpoint":
        """Hash a checkpoint file."""
        status = path.stat()
        return cls(file=path.name, sha256=content_hash(path), size=status.st_size, mtime_ns=status.st_mtime_ns)

    def holds(self, folder: Path) -> bool:
        """Whether the file in ``folder`` still has this content; it is read again only if size or time differ."""
        path = folder / self.file
        if not path.is_file():
            return False
        status = path.stat()
        if (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns):
            return True
        return status.st_size == self.size and content_hash(path) == self.sha256


class OutcomesFile(Strict):
    """The file with each test image's outcome (mixedae/benchmark/store/outcomes.py reads it).

    Attributes:
        file: its name in the cell's folder.
        sha256: of its bytes.
        items_sha256: of the test images' names in order: only the same images can be paired.
        metrics: the metrics that it holds.
    """

    file: str
    sha256: str
    items_sha256: str | None
    metrics: tuple[str, ...]


class Provenance(Strict):
    """Where the numbers come from: code, packages, machine.

    Attributes:
        commit: git commit of the code; None outside a repository.
        dirty: whether code, configs or requirements differed from it.
        packages: name to version.
        hardware: ``cpu``, ``cores``, ``memory_gb``, ``gpus``.
    """

    commit: str | None
    dirty: bool | None
    packages: dict[str, str]
    hardware: dict[str, Any]

    @property
    def version(self) -> str:
        """The commit in short, marked if the code differed from it."""
        return (self.commit or "unknown")[:10] + (" (changed)" if self.dirty else "")


class Result(Strict):
    """One cell's result.json.

    Attributes:
        schema_version: of this schema; 1 had no ``outcomes``, 2 no ``point``, ``overlays`` and ``options``.
        status: ``ok``; ``failed`` with ``reason``; ``limited`` for a shortened run.
        reason: why it failed.
        suite, pretraining, task, seed: the cell; ``task`` is None for a pre-training.
        point: which training of the task's search this is; None for the task's result.
        overlays, options: what was merged over the config.
        identity, key: what the numbers depend on, and its hash.
        values: metric key to value in the table's unit.
        n: test images.
        checkpoint: the checkpoint that the run left.
        outcomes: the file with each test image's outcome; without it no paired test is possible.
        run: the trainer's record: lr, precision, world size, wall time, peak memory, load report, ...
        elapsed_s: seconds from the start of the process to its end.
        provenance: code, packages, hardware.
        command: what was run, in the repository's root.
        config: the recipe's path.
        log: path of the log, relative to the cell's folder.
        notes: what a reader of the number must know.
        started, finished: when, in UTC.
    """

    model_config = ConfigDict(ser_json_inf_nan="constants")

    schema_version: Literal[1, 2, 3] = 3
    status: Literal["ok", "failed", "limited"]
    reason: str | None = None
    suite: str
    pretraining: str
    task: str | None
    seed: int
    point: str | None = None
    overlays: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    identity: Identity
    key: str
    values: dict[str, float] = {}
    n: int | None = None
    checkpoint: Checkpoint | None = None
    outcomes: OutcomesFile | None = None
    run: RunRecord | None = None
    elapsed_s: float
    provenance: Provenance
    command: tuple[str, ...]
    config: str
    log: str = LOG
    notes: tuple[str, ...] = ()
    started: datetime
    finished: datetime

    @model_validator(mode="after")
    def _whole(self) -> "Result":
        if self.key != self.identity.key:
            raise ValueError("the key is not the hash of the identity")
        if (self.status == "failed") != (self.reason is not None):
            raise ValueError("a failed cell has a reason, and no other has one")
        if self.status != "failed" and (self.run is None or not (self.values if self.task else self.checkpoint)):
            raise ValueError("a finished cell has a run, and values (a transfer) or a checkpoint (a pre-training)")
        return self

    @property
    def diverged(self) -> bool:
        """Whether it failed because its loss was no longer a number: another try would end in the same way."""
        return self.status == "failed" and (self.reason or "").startswith(NonFiniteLossError.__name__)

    def write(self, folder: Path) -> None:
        """Write result.json into the cell's folder, whole or not at all."""
        write_text(folder / RESULT, self.model_dump_json(indent=2) + "\n")


def read_result(folder: Path) -> Result | None:
    """The result in a cell's folder; None if there is none.

    Raises:
        ResultsError: the file is damaged or follows another schema.
    """
    path = folder / RESULT
    try:
        return Result.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ResultsError(f"{path} is damaged: {explain(error)}") from None


def read_record(folder: Path) -> RunRecord:
    """The trainer's record of a finished run.

    Raises:
        ResultsError: it is absent or does not follow the contract.
    """
    path = folder / RECORD
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ResultsError(f"the trainer ended without {RECORD}; see {LOG}") from None
    except ValidationError as error:
        raise ResultsError(f"{path} is damaged: {explain(error)}") from None
