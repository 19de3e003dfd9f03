"""Which files a dataset consists of: the one way in which folders are listed, and what counts as a picture."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mixedae.errors import DataError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif")
"""What mmpretrain's CustomDataset trains on (``extensions``), in small letters."""

LEFT_BY_PROGRAMS = ("@eaDir", "__MACOSX", "$RECYCLE.BIN")
"""Folders that storage systems and archives leave; names that begin with a dot are others."""

ALL_PICTURE_SUFFIXES = (*PICTURE_SUFFIXES, ".webp")
"""What is looked at when pictures are analysed: datasets that list their pictures may hold any of these."""

OWN_SUFFIXES = (*ALL_PICTURE_SUFFIXES, ".tiff", ".gif", ".jfif")
"""What pre-training reads of a folder of one's own (``mixedae.Pictures``)."""

KNOWN_SUFFIXES = (*OWN_SUFFIXES, ".jp2", ".avif", ".heic", ".pnm")
"""Endings of pictures, whether they are read or not."""


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


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted, as mmpretrain numbers classes by them. Links are followed.

    Raises:
        DataError: one of them is no class but what a desktop or a notebook left: it would shift all labels.
    """
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    if left := [name for name in names if name.startswith(".") or name in LEFT_BY_PROGRAMS]:
        raise DataError(
            f"{folder / left[0]} is no class, but training would number it as one ({len(left)} such folders); remove it"
        )
    return names


def check_suffixes(folder: Path, read: Sequence[str] = PICTURE_SUFFIXES) -> None:
    """Check that no picture is left out because of its name's ending: mmpretrain passes over it without a word.

    Args:
        folder: of a dataset.
        read: endings that the dataset reads, in small letters.

    Raises:
        DataError: naming ending, count and a file.
    """
    others = tuple(set(KNOWN_SUFFIXES) - {suffix.lower() for suffix in read})
    skipped = [path for path in files_under(folder) if path.name.lower().endswith(others)]
    if skipped:
        endings = sorted({path.suffix.lower() for path in skipped})
        raise DataError(
            f"{len(skipped)} pictures in {folder} end in {', '.join(endings)} (such as {skipped[0]}), which this "
            f"dataset does not read: it reads {', '.join(read)}. Convert or remove them, or let it read them "
            "(train_dataloader.dataset.extensions, val_dataloader.dataset.extensions)"
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
