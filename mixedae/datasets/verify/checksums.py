"""Whether a dataset is whole: counts against a task card, and every file's SHA-256 against a list."""

from collections.abc import Sequence
from pathlib import Path

from mixedae.datasets.fingerprint import content_hash
from mixedae.datasets.listing import files_under
from mixedae.datasets.verify.layouts import SplitSummary
from mixedae.errors import DataError
from mixedae.files import replacing


def check_counts(rows: Sequence[SplitSummary], expected: dict[str, int]) -> str:
    """Compare the numbers of pictures with what a task card says.

    Args:
        rows: what :func:`verify_folder` found.
        expected: pictures by split; splits that were not looked at are left out.

    Returns:
        One line that says what was compared.

    Raises:
        DataError: another number, by split.
    """
    found = {row.split: row.images for row in rows}
    wrong = [f"{s}: {found[s]} found, {n} expected" for s, n in expected.items() if s in found and found[s] != n]
    if wrong:
        raise DataError(f"the numbers of pictures are not the task card's: {'; '.join(wrong)}; is the download whole?")
    return f"numbers of pictures as in the card: {', '.join(split for split in expected if split in found)}"


def parts_of(kind: str, splits: Sequence[str]) -> tuple[str, ...]:
    """The folders that belong to a dataset.

    Args:
        kind: imagenet, ade20k or coco; else a small set, whose files lie anywhere in its folder.
        splits: the splits in use.

    Returns:
        Names below the dataset's folder; ``.`` is all of it.
    """
    known = {"imagenet": (*splits,), "ade20k": ("images", "annotations"), "coco": (*splits, "annotations")}
    return known.get(kind, (".",))


def check_or_write(root: Path, folders: Sequence[str], file: Path) -> str:
    """Compare a dataset with its checksum list, or write the list where there is none.

    Args:
        root: the dataset's folder; names in the list are relative to it, as ``sha256sum -c`` expects there.
        folders: what of it belongs to the dataset, relative to ``root``.
        file: the list.

    Returns:
        One line that says what was done.

    Raises:
        DataError: files that are missing, changed or new since the list was written, or a file that is no list.
    """
    paths = [path for folder in folders for path in files_under(root / folder) if path.resolve() != file.resolve()]
    found = {path.relative_to(root).as_posix(): content_hash(path) for path in paths}
    if not file.is_file():
        with replacing(file) as temporary:
            temporary.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(found.items())))
        return f"{file}: checksums of {len(found)} files written"
    listed = {}
    for line in file.read_text().splitlines():
        digest, separator, name = line.partition("  ")
        if not separator or len(digest) != 64:
            raise DataError(f"{file} is no list of checksums: found {line[:80]!r}; expected `<sha256>  <name>`")
        listed[name] = digest
    problems = {
        "missing": sorted(listed.keys() - found.keys()),
        "changed": sorted(name for name in listed.keys() & found.keys() if listed[name] != found[name]),
        "new": sorted(found.keys() - listed.keys()),
    }
    if any(problems.values()):
        told = "; ".join(f"{len(names)} {kind}: {', '.join(names[:3])}" for kind, names in problems.items() if names)
        raise DataError(f"{root} differs from {file}: {told}; restore the files, or delete the list to write it anew")
    return f"{file}: {len(found)} files are as listed"
