"""A quiet console shows warnings, errors and notices; the log file keeps everything."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from mixedae.engine.console import NOTICE, quiet_console


@pytest.fixture
def quiet() -> Iterator[None]:
    original = MMLogger.__init__
    yield
    MMLogger.__init__ = original


def logger(name: str, path: Path | None = None) -> MMLogger:
    return MMLogger.get_instance(name, log_file=None if path is None else str(path))


def say(target: MMLogger) -> None:
    target.debug("a debug line")
    target.info("an info line")
    target.info("a notice", extra=NOTICE)
    target.warning("a warning")
    target.warning("'FileClient' will be deprecated in future")
    target.error("an error")


@pytest.mark.parametrize("exists_before", [True, False])
def test_levels(quiet: None, tmp_path: Path, capsys: pytest.CaptureFixture, exists_before: bool) -> None:
    name, path = f"quiet-{exists_before}", tmp_path / "x.log"
    if exists_before:
        logger(name, path)
    quiet_console()
    say(logger(name, path))
    shown, kept = capsys.readouterr().out, path.read_text()
    assert "deprecated" in kept and "deprecated" not in shown
    assert [word in shown for word in ("a debug", "an info", "a notice", "a warning", "an error")] == [
        False, False, True, True, True,
    ]  # fmt: skip
    assert [word in kept for word in ("an info", "a notice", "a warning", "an error")] == [True] * 4


def test_the_level_can_be_changed_and_is_not_stacked(quiet: None, capsys: pytest.CaptureFixture) -> None:
    target = logger("quiet-changed")
    quiet_console("ERROR")
    quiet_console("NOTSET")
    say(target)
    assert "an info line" in capsys.readouterr().out
    quiet_console("ERROR")
    say(target)
    say(logger("quiet-new"))
    shown = capsys.readouterr().out
    assert "a warning" not in shown and shown.count("an error") == 2 and shown.count("a notice") == 2
    with pytest.raises(ValueError, match="unknown log level 'LOUD'"):
        quiet_console("LOUD")


def test_a_real_run_prints_a_few_lines_and_logs_hundreds(
    quiet: None, make_runner: Callable[..., Runner], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    quiet_console()
    make_runner().train()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    kept = next(tmp_path.glob("*/*.log")).read_text().splitlines()
    assert len(kept) > 100 and len(lines) <= 8, lines
    shown = "\n".join(lines)
    assert "effective batch 4 = 1 process x 4 images" in shown
    assert "validation after epoch 2: toy/mean" in shown and "validation after epoch 3" in shown
    assert "Epoch(train)" not in shown and "Epoch(train)" in "\n".join(kept)
