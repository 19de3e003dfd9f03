"""Whole training steps: loss, backward pass, AdamW. MixedAE and MAE, mmpretrain's MAE, and any module given by path."""

from collections.abc import Callable, Iterator
from itertools import product

import torch
from torch import Tensor, nn

from mixedae.ops.counting import flop_counter, stored_activations
from mixedae.perf.attention import peak_mb
from mixedae.perf.models import build_model, load_class, model_loss
from mixedae.perf.report import Row
from mixedae.perf.timing import interleave, matmul_rate

OURS = ("MAE", "MixedAE", "mmpretrain MAE")


class Step:
    """One model with its optimizer; called, it trains on one batch.

    Args:
        model: on its device.
        images: (B, 3, S, S).
        dtype: of autocast; fp32 means no autocast.
        compiled: with torch.compile.
        fused: AdamW in one kernel, as our recipes choose; other projects' models get PyTorch's default.
    """

    def __init__(
        self, model: nn.Module, images: Tensor, dtype: torch.dtype, compiled: bool = False, fused: bool | None = None
    ) -> None:
        self.model, self.images, self.dtype = model, images, dtype
        parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, lr=1e-5, betas=(0.9, 0.95), weight_decay=0.05, fused=fused)
        loss = model_loss(model)
        self.loss = torch.compile(loss) if compiled else loss

    def __call__(self) -> None:
        """One training step."""
        self.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def forward(self) -> Tensor:
        """Forward pass; the loss."""
        with torch.autocast(self.images.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.loss(self.images)

    def backward(self) -> None:
        """Forward and backward pass."""
        self.forward().backward()

    def gflop(self) -> float:
        """Counted floating-point operations of forward and backward pass, in 1e9."""
        with flop_counter() as counter:
            self.backward()
        self.optimizer.zero_grad(set_to_none=True)
        return counter.get_total_flops() / 1e9

    def saved_mb(self) -> float:
        """What the forward pass keeps for the backward pass, in 2^20 bytes, each storage once, parameters left out."""
        with stored_activations(self.model) as kept:
            self.forward()
        return sum(size for _, size in kept.values()) / 2**20


def measure_steps(
    device: torch.device,
    arch: str,
    batches: list[int],
    img_sizes: list[int],
    depths: list[int | None],
    dtype: torch.dtype,
    compiled: bool,
    against: list[str],
    rounds: int,
) -> Iterator[Row]:
    """Time steps of the same images, MAE (ours) as baseline.

    Args:
        device: where.
        arch: ``base`` or ``large``.
        batches: every batch size.
        img_sizes: every side of the images: 224 gives 196 patches.
        depths: every number of encoder layers; None is the architecture's.
        dtype: of autocast; fp32 is without.
        compiled: also time our two with torch.compile.
        against: ``FILE:NAME`` of other projects' modules.
        rounds: see :func:`~mixedae.perf.timing.interleave`.
    """
    rate = matmul_rate(device, dtype)
    for batch, img_size, depth in product(batches, img_sizes, depths):
        images = torch.randn(batch, 3, img_size, img_size, device=device)
        builders: dict[str, Callable[[], nn.Module]] = {
            name: lambda n=name, s=img_size, d=depth: build_model(n, arch, s, d)  # type: ignore[misc]
            for name in OURS
        }
        builders |= {spec.rpartition(":")[2]: lambda s=spec: load_class(s)() for spec in against}  # type: ignore[misc]
        steps = {
            name: Step(make().to(device), images, dtype, fused=True if name in OURS[:2] else None)
            for name, make in builders.items()
        }
        plain = dict(steps)
        if compiled:
            steps |= {f"{n} compiled": Step(builders[n]().to(device), images, dtype, True, True) for n in OURS[:2]}
        case = f"ViT-{arch[0].upper()} {img_size} px B {batch}" + (f" depth {depth}" if depth else "")
        for row in interleave(steps, device, rounds, warmup=1, case=case, baseline="MAE"):
            row.extra["images_per_s"] = batch / row.seconds
            if row.name in plain:
                gflop = plain[row.name].gflop()
                row.extra["gflop"] = gflop
                row.extra["share_of_matmul"] = gflop * 1e9 / row.seconds / rate
                row.extra["saved_mb"] = plain[row.name].saved_mb()
            if device.type == "cuda":
                row.extra["peak_mb"] = peak_mb(steps[row.name], device)
            yield row
