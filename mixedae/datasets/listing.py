"""Which files a dataset consists of: the one way in which folders are listed, and what counts as a picture."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mixedae.errors import DataError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif")
"""What mmpretrain's CustomDataset trains on (``extensions``), in small letters."""

ALL_PICTURE_SUFFIXES = (*PICTURE_SUFFIXES, ".webp")
"""What is looked at when a dataset is verified or analysed: datasets that list their pictures may hold any of these."""


def files_under(folder: Path, _parents: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Every file below a folder, sorted by name in each folder; links are followed, names that start with a dot left
    out.

    Raises:
        DataError: a link leads nowhere, or back to a folder that contains it.
    """
    real = folder.resolve()
    if real in _parents:
        raise DataError(f"{folder} is a link to a folder that contains it ({real}); remove the link")
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from files_under(Path(entry.path), (*_parents, real))
        elif entry.is_file():
            yield Path(entry.path)
        else:
            raise DataError(
                f"{entry.path} is neither file nor folder (a link that leads nowhere?); repair or remove it"
            )


def pictures_under(folder: Path, suffixes: Sequence[str] = ALL_PICTURE_SUFFIXES) -> Iterator[Path]:
    """Every picture below a folder, in the order of :func:`files_under`.

    Args:
        folder: a folder that exists.
        suffixes: endings of names that count as pictures, in small letters.

    Raises:
        DataError: see :func:`files_under`.
    """
    return (path for path in files_under(folder) if path.name.lower().endswith(tuple(suffixes)))
