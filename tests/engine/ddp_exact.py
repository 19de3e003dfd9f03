"""One process of a distributed training on the CPU: ``python -m tests.engine.ddp_exact WORK_DIR KIND JSON``.

KIND is ``toy`` or ``drawing``; JSON holds dotted changes of its config, and those of one rank under ``rank 1``.
"""

import json
import os
import sys
import uuid
from pathlib import Path

import torch.distributed as dist

from mixedae.command_line import run
from mixedae.engine import StrictRunner
from tests.engine.conftest import toy_config
from tests.engine.drawing import drawing_config


def main() -> None:
    """Train."""
    work_dir, kind, changes = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    own = changes.pop(f"rank {rank}", {})
    changes = {key: value for key, value in changes.items() if not key.startswith("rank ")}
    dist.init_process_group("gloo", f"file://{os.environ['MEETING']}", rank=rank, world_size=world_size)
    if kind == "toy":
        cfg = toy_config(work_dir, **changes)
    else:
        cfg = drawing_config(work_dir, changes.pop("by_epoch", True), 2, False, **changes)
    if "kill" in own:
        cfg.custom_hooks.append({"type": "KillHook", "step": own["kill"], "number": own["number"]})
    cfg.launcher = "pytorch"
    cfg.experiment_name = uuid.uuid4().hex
    cfg.model_wrapper_cfg = {"type": "MMDistributedDataParallel", "device_ids": None}
    StrictRunner.from_cfg(cfg).train()
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    run(main)
