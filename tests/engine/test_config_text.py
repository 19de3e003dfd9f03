"""yapf formats a config once per run; the text is the same as without that."""

from collections.abc import Iterator

import pytest
from mmengine.config import Config
from yapf.yapflib import yapf_api

from mixedae.engine.config_text import format_config_once


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Texts that yapf was given."""
    texts: list[str] = []
    original = yapf_api.FormatCode

    def counted(text: str, *args: object, **kwargs: object) -> object:
        texts.append(text)
        return original(text, *args, **kwargs)

    monkeypatch.setattr(yapf_api, "FormatCode", counted)  # restored afterwards, with what is put over it
    yield texts


def test_the_same_text_is_formatted_once(calls: list[str]) -> None:
    cfg = Config(dict(model=dict(type="A", sizes=[1, 2]), lr=0.1))
    plain = cfg.pretty_text
    calls.clear()
    format_config_once()
    format_config_once()  # does not wrap twice
    assert [cfg.pretty_text, cfg.pretty_text, Config(cfg.to_dict()).pretty_text] == [plain] * 3
    assert len(calls) == 1


def test_a_changed_config_is_formatted_again(calls: list[str]) -> None:
    format_config_once()
    cfg = Config(dict(lr=0.1))
    assert "0.1" in cfg.pretty_text
    cfg.lr = 0.2
    assert "0.2" in cfg.pretty_text
    assert len(calls) == 2
