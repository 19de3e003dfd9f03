"""What the OpenMMLab libraries print about themselves, where no run is under way. mmengine's log files keep it."""

import logging
from typing import Any

import mmengine.logging as upstream

_print_log = upstream.print_log


def print_log(msg: Any, logger: Any = None, level: int = logging.INFO) -> None:
    """mmengine's, which prints whatever has no logger, of any level; a debugging line is then left out.

    Args:
        msg: the text.
        logger: see mmengine.
        level: of the text.
    """
    if logger is not None or level >= logging.INFO:
        _print_log(msg, logger, level)


def without_debugging_lines() -> None:
    """Keep the libraries that are imported from now on from printing which optional packages are not here."""
    upstream.print_log = print_log


def without_lists_of_parameters() -> None:
    """Let ``init_weights`` list how each parameter was initialised in a log file, but not on the console.

    Without a log file mmengine prints three lines for each parameter, a thousand lines for a ViT.
    """
    from mmengine.model import BaseModule  # torch, a second

    original = BaseModule._dump_init_info
    if getattr(original, "quiet", False):
        return

    def dump(self: Any) -> None:
        handlers = upstream.MMLogger.get_current_instance().handlers
        if any(isinstance(handler, logging.FileHandler) for handler in handlers):
            original(self)

    dump.quiet = True  # type: ignore[attr-defined]
    BaseModule._dump_init_info = dump
