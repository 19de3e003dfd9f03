"""Words that errors and progress lines share."""

import pytest

from mixedae.wording import duration, nearest


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("sedes", ["name", "seeds"], "did you mean `seeds`?"),
        ("zzz", ["seeds", "name"], "known: name, seeds"),
        ("zzz", [], "known: none"),
    ],
)
def test_nearest(name: str, known: list[str], text: str) -> None:
    assert nearest(name, known) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "?"), (0, "0s"), (59.4, "59s"), (61, "1m01s"), (3599.6, "1h00m"), (3725, "1h02m"), (7500, "2h05m"),
        (86_399.6, "1d00h"), (180_000, "2d02h"),
    ],
)  # fmt: skip
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
