"""One process that trains what two would: ``python -m tests.tools.as_two BATCH [arguments of tools/train.py]``.

Two processes of b pictures are one process of b pictures that accumulates over two iterations: the first takes process
0's pictures and draws its masks, the second process 1's. Only the order of the pictures and the keys of the draws are
changed here; all else is tools/train.py.
"""

import copy
import math
import runpy
import sys
from collections.abc import Iterator

import mmengine.dataset.sampler as samplers

from mixedae.engine import draws, loops
from mixedae.files import ROOT

of_one_process = draws.DrawnSampler.__iter__
seed_step = loops.seed_step


def of_two_processes(self: draws.DrawnSampler) -> Iterator[draws.Draw]:
    """A batch of process 0, a batch of process 1, and so on."""
    shares = []
    for rank in (0, 1):
        share = copy.copy(self)
        share.inner = copy.copy(self.inner)
        share.inner.rank, share.inner.world_size = share._rank, share._world_size = rank, 2
        if isinstance(share.inner, samplers.DefaultSampler):
            share.inner.num_samples = math.ceil(len(share.inner.dataset) / 2)
        else:
            share.inner.indices = share.inner._indices_of_rank()
        shares.append(of_one_process(share))
    while True:
        for share in shares:
            for _ in range(BATCH):
                if (draw := next(share, None)) is None:
                    return
                yield draw


if __name__ == "__main__":
    BATCH = int(sys.argv[1])
    draws.DrawnSampler.__iter__ = of_two_processes  # type: ignore[method-assign]
    loops.seed_step = lambda seed, step, rank: seed_step(seed, step // 2, step % 2)
    sys.argv = ["tools/train.py", *sys.argv[2:]]
    runpy.run_path(str(ROOT / "tools/train.py"), run_name="__main__")
