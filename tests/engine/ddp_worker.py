"""One process of a distributed toy run on the CPU: ``python -m tests.engine.ddp_worker WORK_DIR BAD_RANK``.

mmengine's launcher asks for CUDA; with gloo initialised before the Runner it need not.
"""

import os
import sys
from pathlib import Path

import torch.distributed as dist
from mmengine.runner import Runner

from tests.engine.conftest import toy_config


def main() -> None:
    """Train; the process BAD_RANK has a NaN in iteration 3."""
    work_dir, bad_rank = Path(sys.argv[1]), int(sys.argv[2])
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group("gloo", f"file://{work_dir}/rendezvous", rank=rank, world_size=world_size)
    bad = {3: ("loss_b", "nan")} if rank == bad_rank else {}
    cfg = toy_config(work_dir, launcher="pytorch", **{"model.bad": bad})
    cfg.model_wrapper_cfg = {"type": "MMDistributedDataParallel", "device_ids": None}
    cfg.optim_wrapper.accumulative_counts = int(os.environ.get("ACCUMULATION", 1))
    Runner.from_cfg(cfg).train()
    dist.barrier()  # no process leaves while another still reads from it
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
