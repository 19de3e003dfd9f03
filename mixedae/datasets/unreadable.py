"""Pictures that do not decode: named always, skipped in training as long as they are few, never skipped in a test."""

import multiprocessing
import sys
from pathlib import Path
from typing import Any

from mixedae.datasets.verify.decoding import decoded
from mixedae.errors import DataError

SHARE = 1e-4
"""Of a training set; in one of fewer than 10,000 pictures a single one that does not decode ends the run."""


def cause_of(dataset: Any, index: int, error: Exception) -> DataError | None:
    """Which file made an item fail, if a file did.

    The item's files are decoded again, by Pillow and to their last row. If all of them can be, the fault lies
    elsewhere.

    Args:
        dataset: with ``get_data_info``, as mmengine's.
        index: of the item.
        error: what getting it raised.

    Returns:
        An error with the file's path; None if no file is at fault.
    """
    try:
        info = dataset.get_data_info(int(index))
        paths = [info[key] for key in ("img_path", "seg_map_path") if info.get(key)]
    except Exception:  # a dataset of another kind
        return None
    for path in paths:
        try:
            decoded(Path(path))
        except DataError as cause:
            return cause
    if isinstance(error, OSError | AssertionError) and (named := [path for path in paths if str(path) in str(error)]):
        return DataError(f"{named[0]} cannot be decoded: {error}; replace the file or remove it")
    return None


class Skipping:
    """How many pictures of a training set did not decode, counted over all of a loader's workers.

    Args:
        pictures: in the set.
        share: of them that may be skipped.
    """

    def __init__(self, pictures: int, share: float = SHARE) -> None:
        self.pictures, self.most = pictures, int(share * pictures)
        self._lock = multiprocessing.Lock()  # these three are shared with workers
        self._seen = multiprocessing.RawArray("b", pictures)
        self._count = multiprocessing.RawValue("q", 0)

    @property
    def count(self) -> int:
        """Different pictures that were skipped so far."""
        return int(self._count.value)

    def note(self, index: int, cause: DataError) -> None:
        """Count a picture; the first time, say so.

        Args:
            index: of the picture.
            cause: why it is skipped.

        Raises:
            DataError: there are too many.
        """
        with self._lock:
            new = not self._seen[index]
            self._seen[index] = 1
            self._count.value += new
        if self.count > self.most:
            raise DataError(
                f"{cause}. {self.count} of {self.pictures} training pictures cannot be decoded, {self.most} may be "
                "skipped (unreadable_share in the config)"
            ) from cause
        if new:
            print(f"skipped: {cause} ({self.count} of at most {self.most})", file=sys.stderr, flush=True)
