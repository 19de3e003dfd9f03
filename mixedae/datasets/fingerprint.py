"""What data a result was measured on: one hash over the content of a dataset, wherever it lies."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mixedae.datasets.listing import files_under
from mixedae.errors import DataError

PROGRESS_FROM_BYTES = 5 * 1024**3


def dataset_fingerprint(paths: Sequence[Path], progress: bool = False) -> str:
    """SHA-256 over the names, sizes and contents of all files of a dataset.

    Every byte is read (200 MB take less than a second), so that no change stays unseen. It depends neither on where the
    dataset lies nor on the order of listing or of ``paths``: names are relative to the folder given or, of several
    paths, to the folder that they share.

    Args:
        paths: the folders and files that make up the dataset.
        progress: show a progress bar on a terminal where there are more than 5 GB to read.

    Returns:
        64 hexadecimal digits.

    Raises:
        DataError: a path does not exist, or there are no files.
    """
    for path in paths:
        if not Path(path).exists():
            raise DataError(f"{path} does not exist; expected a dataset's folder or file")
    absolute = sorted({Path(path).absolute() for path in paths})
    files = sorted({file for path in absolute for file in (files_under(path) if path.is_dir() else [path])})
    if not files:
        raise DataError(f"no files under {', '.join(map(str, paths)) or 'no path'}; expected a dataset")
    base = Path(os.path.commonpath(absolute))
    base = base.parent if base.is_file() else base
    entries = []
    for file, size in _shown([(file, file.stat().st_size) for file in files], progress):
        entries.append(f"{file.relative_to(base).as_posix()}\0{size}\0{content_hash(file)}")
    return hashlib.sha256("\n".join(sorted(entries)).encode()).hexdigest()


def content_hash(file: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _shown(files: list[tuple[Path, int]], progress: bool) -> Iterator[tuple[Path, int]]:
    """The files again, behind a progress bar where that is worth it."""
    total = sum(size for _, size in files)
    if not progress or total < PROGRESS_FROM_BYTES:
        yield from files
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress

    console = Console(stderr=True)
    with Progress(*Progress.get_default_columns(), DownloadColumn(), console=console, transient=True) as bar:
        task = bar.add_task("fingerprint", total=total)
        for file, size in files:
            yield file, size
            bar.advance(task, size)
