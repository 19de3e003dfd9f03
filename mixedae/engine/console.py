"""A console for people: warnings, errors and this project's own notices; everything else stays in the log file.

mmengine's logger writes the environment, the whole config, every hook, hundreds of initialisation lines and one line an
interval to the terminal. The log file keeps all of it.
"""

import functools
import logging
from typing import Any

from mmengine.logging import MMLogger

NOTICE = {"notice": True}
"""``logger.info(text, extra=NOTICE)`` reaches even a quiet console: effective batch, loaded weights, validations."""


DEPRECATED = "will be deprecated in"
"""In mmengine's warnings about its own calls to its own old functions, which no user can change."""


class _ConsoleFilter(logging.Filter):
    """Lets notices and what is severe enough through."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level

    def filter(self, record: logging.LogRecord) -> bool:
        if self.level > logging.NOTSET and record.levelno == logging.WARNING and DEPRECATED in str(record.msg):
            return False
        return record.levelno >= self.level or getattr(record, "notice", False)


def quiet_console(level: int | str = "WARNING") -> None:
    """Keep records below ``level`` off the console, in every logger of mmengine's that exists or will be made.

    Log files are untouched. Calling it again changes the level; ``NOTSET`` shows everything again.

    Args:
        level: of Python's logging.
    """
    number = logging.getLevelName(level) if isinstance(level, str) else level
    if not isinstance(number, int):
        raise ValueError(f"unknown log level {level!r}")
    # Runner builds its logger, and fills the console, inside its own constructor: new loggers must be born quiet.
    original = getattr(MMLogger.__init__, "__wrapped__", MMLogger.__init__)

    @functools.wraps(original)
    def init(self: MMLogger, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        _set_level(self, number)

    MMLogger.__init__ = init
    for logger in MMLogger._instance_dict.values():
        _set_level(logger, number)


def _set_level(logger: MMLogger, level: int) -> None:
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.filters = [f for f in handler.filters if not isinstance(f, _ConsoleFilter)]
            handler.addFilter(_ConsoleFilter(level))
