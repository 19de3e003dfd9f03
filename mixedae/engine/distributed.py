"""Several processes on CPUs talk through gloo; on GPUs mmengine starts NCCL. Who is gone is told by name.

mmengine's own start-up takes a GPU for each process, and so does the wrapper that it puts around a model.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from mmengine.device import get_device
from mmengine.dist import is_distributed
from torch import nn

from mixedae.errors import ConfigError, ProcessLostError
from mixedae.launchers import meeting

PATIENCE = 1800
"""Seconds that a process waits for another, if ``env_cfg.dist_cfg.timeout`` is not set; PyTorch's own for gloo."""
ANSWER = 3.0
"""Seconds that a process waits for the others' answers when one of them is lost."""
LOST = re.compile(r"gloo|NCCL|[Cc]onnection (closed|reset|refused)|Broken pipe|TCPStore|process group", re.MULTILINE)
"""What PyTorch's messages say where talking to another process failed."""


def on_cpu() -> bool:
    """Whether this machine trains on its CPU."""
    return get_device() == "cpu"


def join(launcher: str, config: Mapping[str, Any]) -> None:
    """Let this process meet the others through gloo, if there is no GPU; otherwise mmengine does it.

    Args:
        launcher: pytorch, slurm or mpi.
        config: ``env_cfg.dist_cfg``. Its ``timeout``, in seconds, bounds how long a process waits for another. Its
            ``backend`` is for GPUs.

    Raises:
        LauncherError: nothing tells where the processes meet.
    """
    if launcher == "none" or is_distributed() or not on_cpu():
        return
    os.environ.update(meeting(launcher))
    dist.init_process_group("gloo", timeout=patience(config))


def patience(config: Mapping[str, Any]) -> timedelta:
    """How long a process waits for another.

    Args:
        config: ``env_cfg.dist_cfg``.
    """
    return timedelta(seconds=float(config.get("timeout", PATIENCE)))


def leave() -> None:
    """End talking to the others, when all have come here: one that left early would look dead to them."""
    if is_distributed() and dist.get_backend() == "gloo":
        dist.barrier()
        dist.destroy_process_group()


def wrapper_config(given: Mapping[str, Any] | None, model: nn.Module, find_unused: bool) -> dict[str, Any]:
    """The config of what goes around a model of several processes on CPUs: mmengine's, without a GPU's number.

    Args:
        given: ``model_wrapper_cfg``; None for mmengine's.
        model: to be wrapped.
        find_unused: ``find_unused_parameters`` of the config.

    Raises:
        ConfigError: the model has SyncBN, which PyTorch has for GPUs only.
    """
    synced = [name for name, layer in model.named_modules() if isinstance(layer, nn.SyncBatchNorm)]
    if synced:
        raise ConfigError(
            f"the model has SyncBN ({synced[0]} and {len(synced) - 1} more), which PyTorch computes on GPUs only. "
            "Several processes on CPUs can train it with BN, which normalises over each process's own pictures: change "
            "norm_cfg.type of the parts that have it, such as --cfg-options model.decode_head.norm_cfg.type=BN"
        )
    if given is not None:
        return {"device_ids": None, **given}
    return {
        "type": "MMDistributedDataParallel",
        "device_ids": None,
        "broadcast_buffers": False,
        "find_unused_parameters": find_unused,
    }


@contextmanager
def lost_processes_named() -> Iterator[None]:
    """Say which process is gone, where PyTorch says that a connection was closed, or that time is up.

    Each process that is still there answers to its name in the store where the processes met. Those that do not answer
    died or hang; their logs tell more.

    Raises:
        ProcessLostError: in the place of PyTorch's error.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_distributed() or not (isinstance(error, dist.DistError) or LOST.search(str(error))):
            raise
        text = str(error).strip().splitlines()[0][:200]
        silent = silent_processes()
        if silent is None:
            who = "process 0, where the processes met, does not answer"
        elif silent:
            who = f"process{'' if len(silent) == 1 else 'es'} {', '.join(map(str, silent))} "
            who += "did not answer: dead or hanging"
        else:
            who = "all processes answer: the network failed, or the time was too short (env_cfg.dist_cfg.timeout)"
        raise ProcessLostError(
            f"process {dist.get_rank()} lost the others: {who}. See the logs of the ranks in the run's folder; "
            f"--resume goes on from the last checkpoint ({text})"
        ) from error


def silent_processes() -> list[int] | None:
    """Ranks that do not answer within a few seconds; None if the store that they answer in is gone."""
    try:
        store: Any = dist.distributed_c10d._get_default_store()
        store.set_timeout(timedelta(seconds=ANSWER))
        store.set(f"mixedae/here/{dist.get_rank()}", "1")
        waiting = set(range(dist.get_world_size())) - {dist.get_rank()}
        end = time.monotonic() + ANSWER
        while waiting and time.monotonic() < end:
            waiting = {rank for rank in waiting if not store.check([f"mixedae/here/{rank}"])}
            time.sleep(0.1)
    except (RuntimeError, ValueError):
        return None
    return sorted(waiting)
