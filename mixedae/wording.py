"""Words that several errors and progress lines share."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """The half of an error that helps with an unknown name.

    Args:
        name: what was found.
        known: the names that would be accepted.

    Returns:
        The most similar known name as a question, ``did you mean `seeds`?``; if none is similar, the list of all.
    """
    names = sorted(known)
    similar = get_close_matches(name, names, n=1)
    return f"did you mean `{similar[0]}`?" if similar else f"known: {', '.join(names) or 'none'}"


def duration(seconds: float | None) -> str:
    """A time span in its two largest units: ``2d03h``, ``1h05m``, ``4m10s`` or ``12s``.

    Args:
        seconds: not negative; None if it is unknown, which is shown as ``?``.
    """
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02d}h"
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
