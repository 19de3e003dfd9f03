"""A tiny training's checkpoint of each release. ``python -m tests.golden.legacy NAME`` writes files/NAME.pth, once."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import init_default_scope
from torch import nn

from mixedae.registry import MODELS

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
ENCODER = dict(type="mixedae.MixedAEViT", arch=ARCH, img_size=16, patch_size=4, out_type="cls_token")
MODEL = dict(
    type="mixedae.MixedAE",
    backbone=dict(type="mixedae.MixedAEPretrainViT", arch=ARCH, img_size=16, patch_size=4, attention="homologous"),
    neck=dict(
        type="mixedae.MixedAEPretrainDecoder",
        num_patches=16,
        patch_size=4,
        embed_dim=16,
        decoder_embed_dim=8,
        decoder_depth=1,
        decoder_num_heads=2,
    ),
    head=dict(type="mixedae.MixedAEPretrainHead", embed_dims=16, projector_dims=8, contrastive_weight=0.1),
)


def model() -> nn.Module:
    """The model of the file, with other weights."""
    init_default_scope("mmpretrain")
    built: nn.Module = MODELS.build(MODEL)
    return built


def write(name: str) -> None:
    """Train a step through the runner and keep its checkpoint, with the features that the encoder then has.

    Args:
        name: of the release.
    """
    from mmengine.config import Config
    from mmengine.registry import DATASETS
    from torch.utils.data import Dataset

    from mixedae.engine import StrictRunner
    from mixedae.weights import load_backbone, read_checkpoint

    @DATASETS.register_module(force=True)
    class Noise(Dataset):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> dict[str, Any]:
            pixels = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(index))
            return {"inputs": pixels, "data_samples": 0}

    path = Path(__file__).with_name("files") / f"{name}.pth"
    with tempfile.TemporaryDirectory() as folder:
        cfg = Config(
            dict(
                model=dict(MODEL, data_preprocessor=dict(type="mmpretrain.SelfSupDataPreprocessor", to_rgb=False)),
                work_dir=folder,
                default_scope="mmpretrain",
                train_dataloader=dict(
                    batch_size=8,
                    dataset=dict(type="Noise"),
                    sampler=dict(type="DefaultSampler", shuffle=True),
                    collate_fn=dict(type="default_collate"),
                ),
                train_cfg=dict(by_epoch=True, max_epochs=1),
                optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1e-3)),
                param_scheduler=[dict(type="ConstantLR", factor=1.0)],
                randomness=dict(seed=0),
                experiment_name=name,
            )
        )
        StrictRunner.from_cfg(cfg).train()
        checkpoint = dict(read_checkpoint(Path(folder) / "epoch_1.pth"))
        backbone = MODELS.build(ENCODER)
        load_backbone(backbone, Path(folder) / "epoch_1.pth")
    pictures = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
    with torch.no_grad():
        checkpoint["features"] = backbone.eval()(pictures)[0].flatten()
    checkpoint["meta"].pop("cfg")  # these name a folder of this machine
    for key in ("cfg", "last_ckpt"):
        checkpoint["message_hub"]["runtime_info"].pop(key)
    torch.save(checkpoint, path)


if __name__ == "__main__":
    write(sys.argv[1])
