"""Decoding every picture of a dataset in full: OpenCV decodes a truncated JPEG to a grey half without a word."""

from collections.abc import Callable, Iterator, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

from PIL import Image

from mixedae.datasets.reading import read_rgb
from mixedae.errors import DataError


class Decoder:
    """Opens files in threads (PIL decodes outside the interpreter's lock), behind a progress bar."""

    def __init__(self, workers: int, progress: bool) -> None:
        self.workers, self.progress = workers, progress

    def map(self, function: Callable[[Path], Any], paths: Sequence[Path], what: str) -> Iterator[Any]:
        """``function`` of every path, in order."""
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        show = self.progress and console.is_terminal
        with ThreadPool(self.workers) as pool, Progress(console=console, disable=not show, transient=True) as bar:
            yield from bar.track(pool.imap(function, paths, chunksize=16), total=len(paths), description=what)


def decoded(path: Path) -> Image.Image:
    """The picture, decoded to its last row."""
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except Exception as error:  # PIL raises OSError, SyntaxError, ValueError, zlib.error, ... by format and damage
        raise DataError(f"{path} cannot be decoded: {error}; replace the file or remove it") from error


def size_of(path: Path) -> tuple[int, int]:
    """Width and height, as stored, of a picture that training can read."""
    height, width = read_rgb(path, upright=False).shape[:2]
    return width, height
