"""A launcher that did not start this process is refused, with the command that would."""

import pytest

from mixedae.errors import LauncherError
from mixedae.launchers import check_launcher


def test_launchers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    check_launcher("none")
    with pytest.raises(LauncherError, match=r"--launcher pytorch needs RANK, WORLD_SIZE.*torchrun"):
        check_launcher("pytorch")
    monkeypatch.setenv("LOCAL_RANK", "0")  # upstream's train.py sets it by itself
    with pytest.raises(LauncherError, match="needs RANK, WORLD_SIZE, MASTER_ADDR"):
        check_launcher("pytorch")
    with pytest.raises(LauncherError, match=r"slurm needs .*SLURM_PROCID"):
        check_launcher("slurm")
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    check_launcher("pytorch")
