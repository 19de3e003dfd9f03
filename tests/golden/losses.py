"""20 steps of MAE and MixedAE on drawn numbers. ``python -m tests.golden.losses`` writes losses.csv anew."""

import csv
import sys
from pathlib import Path

import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from mixedae.engine.draws import seed_step
from mixedae.registry import MODELS

FILE = Path(__file__).with_name("losses.csv")
STEPS = 20
ARCH = dict(embed_dims=48, num_layers=3, num_heads=4, feedforward_channels=96)
DECODER = dict(num_patches=16, patch_size=8, embed_dim=48, decoder_embed_dim=32, decoder_depth=2, decoder_num_heads=4)


def losses(kind: str, steps: int = STEPS) -> list[float]:
    """The loss at each step, from a fixed start, with the draws that training has.

    Args:
        kind: MAE or MixedAE.
        steps: of AdamW.
    """
    init_default_scope("mmpretrain")
    mixes = kind == "MixedAE"
    backbone = dict(type="mixedae.MixedAEPretrainViT", arch=ARCH, img_size=32, patch_size=8)
    backbone["attention"] = "homologous" if mixes else "plain"
    head = dict(type="mixedae.MixedAEPretrainHead", embed_dims=48, projector_dims=16)
    head["contrastive_weight"] = 0.1 if mixes else 0.0
    neck = dict(type="mixedae.MixedAEPretrainDecoder", **DECODER)
    seed_step(0, 0, 0)
    model = MODELS.build(dict(type=f"mixedae.{kind}", backbone=backbone, neck=neck, head=head))
    model.init_weights()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    found = []
    for step in range(steps):
        seed_step(0, step, 0)
        loss = sum(value for name, value in model(images, mode="loss").items() if "loss" in name)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def main() -> None:
    """Write the file: the header's third column names the torch version and the CPU's instructions."""
    MMLogger.get_instance("golden", log_level="ERROR")
    torch.set_num_threads(1)
    with FILE.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["MAE", "MixedAE", f"{torch.__version__} {torch.backends.cpu.get_cpu_capability()}"])
        writer.writerows(
            (f"{a!r}", f"{b!r}", step) for step, (a, b) in enumerate(zip(losses("MAE"), losses("MixedAE"), strict=True))
        )


if __name__ == "__main__":
    sys.exit(main())
