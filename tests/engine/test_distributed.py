"""What goes around a model on CPUs, and which errors mean that a process is lost; real processes: test_torchrun.py."""

from datetime import timedelta

import pytest
import torch.distributed as dist
from torch import nn

from mixedae.engine import distributed
from mixedae.engine.distributed import lost_processes_named, patience, wrapper_config
from mixedae.errors import ConfigError, ProcessLostError


def test_a_model_is_wrapped_without_the_number_of_a_gpu() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    assert wrapper_config(None, model, True)["find_unused_parameters"] is True
    assert wrapper_config(None, model, False)["device_ids"] is None
    assert wrapper_config({"static_graph": True}, model, False) == {"device_ids": None, "static_graph": True}


def test_synchronised_batch_norm_is_refused_before_the_first_step() -> None:
    model = nn.ModuleDict({"neck": nn.SyncBatchNorm(2), "head": nn.SyncBatchNorm(2)})
    with pytest.raises(ConfigError, match=r"SyncBN \(neck and 1 more\).*norm_cfg.type=BN"):
        wrapper_config(None, model, False)


def test_patience() -> None:
    assert patience({}) == timedelta(minutes=30) and patience({"timeout": 60}) == timedelta(minutes=1)


@pytest.mark.parametrize(
    ("silent", "words"),
    [
        ([2], "process 2 did not answer: dead or hanging"),
        ([1, 3], "processes 1, 3 did not answer"),
        ([], "all processes answer: the network failed, or the time was too short"),
        (None, "process 0, where the processes met, does not answer"),
    ],
)
def test_who_is_lost(monkeypatch: pytest.MonkeyPatch, silent: list[int] | None, words: str) -> None:
    monkeypatch.setattr(distributed, "is_distributed", lambda: True)
    monkeypatch.setattr(distributed, "silent_processes", lambda: silent)
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    with pytest.raises(ProcessLostError, match=words), lost_processes_named():
        raise RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    with pytest.raises(RuntimeError, match="shapes"), lost_processes_named():
        raise RuntimeError("shapes do not fit")


def test_one_process_loses_nobody() -> None:
    with pytest.raises(RuntimeError, match="gloo"), lost_processes_named():
        raise RuntimeError("gloo")
