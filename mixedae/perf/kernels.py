"""Compile the fused attention kernels for a GPU that is not here, and report what the assembler says about them.

    python -m mixedae.perf.kernels --channels 64 --tokens 197

Triton compiles for a named target and brings NVIDIA's assembler. So registers per thread, bytes spilled to local memory
and shared memory are known without a device.
"""

import argparse
import json
import re
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mixedae.ops.attention import triton as kernels
from mixedae.ops.attention.fused import Tiling

TRITON_DTYPES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
POINTERS = {"threshold": "*fp32", "lse": "*fp32", "delta": "*fp32", "last": "*i32"}


@dataclass(frozen=True)
class CompiledKernel:
    """One kernel for one shape; ``spill_bytes`` are per thread, stores and loads together."""

    kernel: str
    dtype: str
    tokens: int
    channels: int
    block_m: int
    block: int
    warps: int
    registers: int
    spill_bytes: int
    shared_bytes: int
    matrix_instruction: str


def variants(tokens: int, channels: int, dtype: torch.dtype) -> list[tuple[Any, dict[str, int], int]]:
    """Each kernel with its compile-time constants and warps, as the operator launches it."""
    t = Tiling.of(tokens, channels, dtype.itemsize)
    gradient = dict(D=channels, BLOCK_D=t.block_d, BLOCK_M=t.gradient_block_m, BLOCK_K=t.block_k)
    forward = dict(D=channels, BLOCK_D=t.block_d, WIDTH=t.width, BLOCK_M=t.block_m, BLOCK_N=t.block_n)
    return [
        (kernels.forward_kernel, forward, t.warps),
        (kernels.query_gradient_kernel, gradient, t.gradient_warps),
        (kernels.key_gradient_kernel, gradient, t.gradient_warps),
    ]


def compile_kernels(tokens: int, channels: int, dtype: torch.dtype, capability: int = 90) -> list[CompiledKernel]:
    """Compile the three kernels for N tokens of D channels and read the assembler's report.

    Args:
        tokens: N.
        channels: D.
        dtype: of the inputs.
        capability: compute capability times ten; 90 is an H100 or H200.
    """
    done = []
    for kernel, constants, warps in variants(tokens, channels, dtype):
        signature, attributes = {}, {}
        for i, name in enumerate(kernel.arg_names):
            if name in constants:
                signature[name] = "constexpr"
            elif name.startswith("scale"):
                signature[name] = "fp32"
            elif name in ("heads", "n", "topk", "prefix") or re.fullmatch(r"(q|k|v|o|do|dq|dk)_[bhn]", name):
                signature[name] = "i32"
            else:
                signature[name] = POINTERS.get(name, f"*{TRITON_DTYPES[dtype]}")
            if signature[name].startswith("*") or ("_" in name and signature[name] == "i32"):
                attributes[(i,)] = [["tt.divisibility", 16]]  # as a launch would find of addresses and strides
        source = ASTSource(kernel, signature=signature, constexprs=constants, attrs=attributes)
        target = GPUTarget("cuda", capability, 32)
        binary = triton.compile(source, target=target, options=dict(num_warps=warps, num_stages=3))
        registers, spills = assembler_report(binary.asm["ptx"], capability)
        ptx = binary.asm["ptx"]
        matrix = "wgmma" if "wgmma.mma_async" in ptx else "mma.sync" if "mma.sync" in ptx else "fma"
        block = constants.get("BLOCK_N", constants.get("BLOCK_K", 0))
        name = TRITON_DTYPES[dtype]
        done.append(
            CompiledKernel(
                kernel.__name__, name, tokens, channels, constants["BLOCK_M"], block, warps, registers, spills,
                binary.metadata.shared, matrix,
            )
        )  # fmt: skip
    return done


def assembler_report(ptx: str, capability: int) -> tuple[int, int]:
    """Registers per thread, and bytes of spill stores and loads."""
    assembler = Path(triton.__file__).parent / "backends/nvidia/bin/ptxas"
    suffix = "a" if capability == 90 else ""
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        command = [str(assembler), "-v", f"-arch=sm_{capability}{suffix}", "-o", "/dev/null", file.name]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers = max(int(x) for x in re.findall(r"Used (\d+) registers", report))
    return registers, sum(int(x) for x in re.findall(r"(\d+) bytes spill (?:stores|loads)", report))


def main() -> None:
    """Print one JSON object per kernel."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tokens", type=int, nargs="+", default=[197], help="N (default: 197)")
    parser.add_argument("--channels", type=int, nargs="+", default=[64], help="D (default: 64)")
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16"], help="default: bfloat16")
    args = parser.parse_args()
    for dtype in args.dtypes:
        for channels in args.channels:
            for tokens in args.tokens:
                for compiled in compile_kernels(tokens, channels, getattr(torch, dtype)):
                    print(json.dumps(asdict(compiled)), flush=True)


if __name__ == "__main__":
    main()
