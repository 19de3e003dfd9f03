"""Errors of this project and of a full or read-only disk are one line; any other error keeps its traceback."""

import errno
import os

import pytest

from mixedae.command_line import run
from mixedae.errors import DataError, one_line_errors

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/there/file")


def raising(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "words"),
    [(DataError("no pictures"), "error: DataError: no pictures"), (FULL, "error: SaveError: /there/file: No space")],
)
def test_one_line(error: Exception, words: str, capsys: pytest.CaptureFixture) -> None:
    assert one_line_errors(lambda: raising(error) or 0)() == 1
    with pytest.raises(SystemExit, match="1"):
        run(lambda: raising(error))
    assert capsys.readouterr().err.count(words) == 2


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyError("x"), FileNotFoundError(2, "no")])
def test_other_errors_are_not_dressed_up(error: Exception) -> None:
    with pytest.raises(type(error)):
        one_line_errors(lambda: raising(error) or 0)()
    with pytest.raises(type(error)):
        run(lambda: raising(error))
