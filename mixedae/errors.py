"""Named errors: each message says what was found, what was expected and what to do."""

import errno
import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")


UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
"""What the system answers on a full or read-only disk, or where no folder can be made."""


class MixedAEError(Exception):
    """Base of every error that this project raises on purpose; commands print it and exit with 1."""


class ConfigError(MixedAEError, ValueError):
    """A config, card or suite holds an unknown key, a wrong value or values that contradict each other."""


class GroupSizeError(ConfigError):
    """The group size 1/r does not divide the batch, or exceeds the number of patches."""


class ImageSizeError(ConfigError):
    """The image size is not a multiple of the patch size, or not the one that the model was built for."""


class LauncherError(MixedAEError, RuntimeError):
    """A distributed launcher was asked for outside its environment."""


class LayerDecayError(ConfigError):
    """Layer-wise learning rate decay would decay nothing."""


class DataError(MixedAEError):
    """A dataset is missing, incomplete or damaged."""


class WeightsError(MixedAEError):
    """A checkpoint is absent, truncated, unsafe, of another model or of another shape."""


class SaveError(MixedAEError, OSError):
    """A file could not be written: the disk is full, or the place cannot be written to."""


class FolderInUseError(MixedAEError):
    """Another training runs in the folder, or has its checkpoints there."""


class RunStoppedError(MixedAEError):
    """A signal asked the training to stop, and it did, with a checkpoint.

    Attributes:
        status: exit status, 128 + the signal's number as in a shell: 143 for SIGTERM, 138 for SIGUSR1, 130 for Ctrl-C.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NonFiniteLossError(MixedAEError, FloatingPointError):
    """A loss became NaN or infinite during training."""


class WorkerError(MixedAEError, RuntimeError):
    """A worker of a data loader died, or gave nothing for too long."""


class ProcessLostError(MixedAEError, RuntimeError):
    """Another process of the same run died, or hung for too long."""


class OperatorNotCoveredError(MixedAEError, NotImplementedError):
    """An operator of mmcv was called that has no fallback; compiled mmcv ops are needed."""


class ResultsError(MixedAEError):
    """A result file is absent, damaged or contradicts what was asked for."""


def one_line_errors(main: Callable[P, int]) -> Callable[P, int]:
    """Decorate a command: an error of this project becomes one line on standard error and exit code 1.

    Args:
        main: the command; returns its exit code.
    """

    @functools.wraps(main)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except MixedAEError as error:
            print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
            return 1
        except OSError as error:
            if (text := unwritable(error)) is None:
                raise
            print(f"error: {text}", file=sys.stderr)
            return 1

    return guarded


def unwritable(error: OSError) -> str | None:
    """What to say where the system did not let a file be written; None for any other error.

    Args:
        error: as the system raised it.
    """
    if error.errno not in UNWRITABLE:
        return None
    where = f"{error.filename}: " if error.filename else ""
    return (
        f"SaveError: {where}{error.strerror}; make room, or choose a folder that can be written to (--work-dir, --out)"
    )
