"""Overlays of a config: which there are, and what merging them does."""

import pytest
from mmengine.config import Config

from mixedae.errors import ConfigError
from mixedae.overlays import merge_overlays, overlays_of


def config() -> Config:
    return Config(
        dict(
            lr=0.1,
            grid=dict(lr=[0.1, 0.2]),
            model=dict(backbone=dict(depth=50, width=4), head=dict(classes=3)),
            val_dataloader=dict(part="test"),
            selection=dict(val_dataloader=dict(part="val")),
            other=dict(model=dict(backbone=dict(_delete_=True, depth=101)), val_dataloader=dict(part="other")),
            empty=dict(),
        )
    )


def test_only_what_runner_reads_is_an_overlay() -> None:
    """``model`` is Runner's own, ``grid`` and an empty dict change nothing."""
    assert overlays_of(config()) == ["selection", "other"]


def test_later_overlays_win_and_a_variable_stays_as_it_was() -> None:
    cfg = config()
    merge_overlays(cfg, ["selection", "other"], "x.py")
    assert cfg.val_dataloader.part == "other"
    assert cfg.model.to_dict() == dict(backbone=dict(depth=101), head=dict(classes=3))
    assert cfg.other.to_dict() == config().other.to_dict()
    cfg = config()
    merge_overlays(cfg, ["other", "selection"], "x.py")
    assert cfg.val_dataloader.part == "val"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("selektion", "did you mean `selection`"),
        ("grid", "known: other, selection"),
        ("model", "known: other, selection"),
    ],
)
def test_an_unknown_overlay_is_named(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=rf"x\.py has no overlay `{name}`; {hint}"):
        merge_overlays(config(), [name], "x.py")
