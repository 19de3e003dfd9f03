"""The config's text, formatted once per run.

mmengine passes the config through yapf whenever it needs the text: four times at the start, then for every checkpoint.
One pass takes 0.1 to 0.7 s of CPU time, and the text is the same each time: ten epochs of the mini detection asked for
it 14 times.
"""

import functools
from typing import Any

from yapf.yapflib import yapf_api


def format_config_once() -> None:
    """Make yapf remember its last answers, which ``Config.pretty_text`` asks for. Calling it again changes nothing."""
    original = yapf_api.FormatCode
    if hasattr(original, "remembered"):
        return
    remembered: dict[str, Any] = {}

    @functools.wraps(original)
    def format_code(unformatted_source: str, *args: Any, **kwargs: Any) -> Any:
        key = repr((unformatted_source, args, sorted(kwargs.items())))
        if key not in remembered:
            remembered.clear()  # a run has one config
            remembered[key] = original(unformatted_source, *args, **kwargs)
        return remembered[key]

    format_code.remembered = remembered  # type: ignore[attr-defined]
    yapf_api.FormatCode = format_code
