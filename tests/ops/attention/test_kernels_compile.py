"""Every variant of the kernels compiles to machine code for an H200 (sm_90), without a device, and spills little.

In a process of its own: here Triton runs in its interpreter.
"""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

SPEED_CASE = ("bfloat16", 64, 197)
OTHERS = [
    *(("bfloat16", channels, tokens) for channels in (32, 64, 80, 128) for tokens in (65, 197, 260, 1024)),
    *(("float16", 64, tokens) for tokens in (65, 197, 260)),
    *(("float32", channels, tokens) for channels in (32, 64, 128) for tokens in (65, 197, 1024)),
]


@pytest.mark.parametrize(
    ("dtype", "channels", "tokens"), [SPEED_CASE, *(pytest.param(*case, marks=pytest.mark.slow) for case in OTHERS)]
)
def test_kernels_compile_for_an_h200(dtype, channels, tokens):
    command = [sys.executable, "-m", "mixedae.perf.kernels", "--dtypes", dtype]
    command += ["--channels", str(channels), "--tokens", str(tokens)]
    done = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "0"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    kernels = [json.loads(line) for line in done.stdout.splitlines()]
    assert [k["kernel"] for k in kernels] == ["forward_kernel", "query_gradient_kernel", "key_gradient_kernel"]
    for kernel in kernels:
        assert 0 < kernel["registers"] <= 255
        assert kernel["shared_bytes"] <= 227 * 1024  # what a program may have on sm_90
        if dtype != "float32":
            assert kernel["matrix_instruction"] in ("wgmma", "mma.sync")
            # 197 tokens: what the targets are about. Wider heads over longer rows spill; they only have to be right.
            assert kernel["spill_bytes"] <= (128 if (channels, tokens) == (64, 197) else 4096), kernel
    if dtype != "float32" and tokens <= 256:
        assert all(k["matrix_instruction"] == "wgmma" for k in kernels)
