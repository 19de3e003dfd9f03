"""Where the data is, whether it is there, and what it holds."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from mixedae.benchmark.plan.cards import DataPart
from mixedae.benchmark.plan.recipe import DATA_PREFIX
from mixedae.benchmark.plan.schema import parse_pairs
from mixedae.benchmark.plan.suites import Suite
from mixedae.datasets.listing import files_under
from mixedae.errors import ConfigError, DataError
from mixedae.files import ROOT, read_json, write_json
from mixedae.wording import nearest


def parse_roots(arguments: list[str], suite: Suite) -> dict[str, Path]:
    """Read ``NAME=DIR`` arguments.

    Raises:
        ConfigError: an argument has another form, or names data that the suite does not read.
    """
    known = {part.name for part in data_parts(suite)}
    given = parse_pairs("--data", arguments, "NAME=DIR")
    for name in given:
        if name not in known:
            raise ConfigError(f"--data {name}: {suite.name} reads no such data; {nearest(name, known)}")
    return {name: Path(folder).absolute() for name, folder in given.items()}


def data_parts(suite: Suite) -> list[DataPart]:
    """Everything that a suite reads."""
    return [
        *([suite.pretraining_data] if suite.pretraining_data else []),
        *(card.data for card in suite.cards.values()),
    ]


def variable(name: str) -> str:
    """The environment variable that tells configs where the data ``name`` is."""
    return DATA_PREFIX + name.upper().replace("-", "_")


class DataRoots:
    """Folders of the data by name: what the command line says, else ``MIXEDAE_DATA_<NAME>``, else the part's own place.

    Args:
        given: name to folder.
        memo: file that remembers fingerprints; a file's names, sizes and times say whether one still holds.
        root: the repository's root, to which default and environment paths are relative (the trainer runs there).
    """

    def __init__(self, given: Mapping[str, Path], memo: Path, root: Path = ROOT) -> None:
        self.given = dict(given)
        self.memo = memo
        self.root = root
        self._fingerprints: dict[DataPart, str] = {}

    def forget(self) -> None:
        """Look at the files again at the next :meth:`fingerprint`."""
        self._fingerprints.clear()

    def root_of(self, part: DataPart) -> Path:
        """Where a part's data is."""
        if part.name in self.given:
            return self.given[part.name]
        return self.root / os.environ.get(variable(part.name), part.folder or f"data/{part.name}")

    def environment(self) -> dict[str, str]:
        """What the child processes need: the folders that were given, as variables."""
        return {variable(name): str(folder) for name, folder in self.given.items()}

    def paths(self, part: DataPart) -> list[Path]:
        """The files and folders that ``part`` names.

        Raises:
            DataError: one is absent or an empty folder.
        """
        root = self.root_of(part)
        paths = [root / path for path in part.paths] or [root]
        for path in paths:
            if not path.exists() or (path.is_dir() and not any(path.iterdir())):
                state = "is empty" if path.exists() else "does not exist"
                raise DataError(
                    f"{path} {state}; the data `{part.name}` is expected in {root}: "
                    f"give --data {part.name}=DIR or set {variable(part.name)}"
                    + (" (tools/data.py mini writes it)" if part.name == "mini" else "")
                )
        return paths

    def check(self, part: DataPart) -> None:
        """Check that the data is there and lies as it must; nothing is decoded.

        Raises:
            DataError: something is absent or empty.
        """
        self.paths(part)
        if part.layout is not None:
            from mixedae.datasets.verify.layouts import check_layout

            check_layout(part.layout.kind, self.root_of(part) / part.layout.folder, part.layout.splits)

    def fingerprint(self, part: DataPart) -> str:
        """sha256 over names and contents of what ``part`` names; remembered while names, sizes and times stay.

        Raises:
            DataError: something is absent.
        """
        if part not in self._fingerprints:
            paths = self.paths(part)
            stamp = _stamp(paths)
            remembered = read_json(self.memo, default={})
            if stamp not in remembered:
                from mixedae.datasets.fingerprint import dataset_fingerprint

                remembered[stamp] = dataset_fingerprint(paths, progress=True)
                write_json(self.memo, remembered)
            self._fingerprints[part] = remembered[stamp]
        return self._fingerprints[part]


def _stamp(paths: list[Path]) -> str:
    """sha256 over path, size and modification time of every file below ``paths``."""
    lines = []
    for path in paths:
        for file in files_under(path) if path.is_dir() else [path]:
            status = file.stat()
            lines.append(f"{file}\t{status.st_size}\t{status.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
