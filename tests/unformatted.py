"""Configs that mmengine writes stay unformatted in tests: yapf would take seconds per run."""

from typing import Any

from yapf.yapflib import yapf_api


def leave_configs_unformatted() -> None:
    """Check the text that mmengine would lay out for its syntax, as yapf does, and leave it as it is."""
    yapf_api.FormatCode = _check


def _check(text: str, style_config: Any = None) -> tuple[str, bool]:
    compile(text, "config", "exec")
    return text, False
