"""A toy pre-training with RecognitionHook; as a program, one process of a distributed one: WORK_DIR."""

import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from tests.engine.conftest import toy_config

IMAGES, BATCH, EPOCHS = 16, 8, 2
MODEL: dict[str, Any] = dict(
    type="mixedae.MixedAE",
    data_preprocessor=dict(type="mmpretrain.SelfSupDataPreprocessor", mean=[128.0] * 3, std=[64.0] * 3, to_rgb=True),
    backbone=dict(
        type="mixedae.MixedAEPretrainViT",
        arch=dict(embed_dims=32, num_layers=3, num_heads=4, feedforward_channels=64),
        img_size=16,
        patch_size=4,
        drop_path_rate=0.2,  # draws random numbers in training mode, none in evaluation mode
    ),
    neck=dict(
        type="mixedae.MixedAEPretrainDecoder",
        **dict(num_patches=16, patch_size=4, embed_dim=32, decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2),
    ),
    head=dict(type="mixedae.MixedAEPretrainHead", embed_dims=32, projector_dims=8),
)


@DATASETS.register_module(force=True)
class ToyImages(Dataset):
    metainfo = {"classes": ("a",)}

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, index: int) -> dict:
        draw = torch.Generator().manual_seed(index)
        pixels = torch.randint(0, 256, (3, 16, 16), generator=draw, dtype=torch.uint8)
        return {"inputs": pixels, "data_samples": index}


def config(work_dir: Path, hooks: list[dict], model: dict | None = None, launcher: str = "none") -> Config:
    """The toy run of this folder, with pictures in the place of numbers and without validation."""
    cfg = toy_config(work_dir, launcher=launcher)
    for key in ("val_dataloader", "val_cfg", "val_evaluator"):
        cfg.pop(key)
    cfg.model = model or MODEL
    cfg.default_scope = "mmpretrain"
    cfg.train_dataloader.update(dataset=dict(type="ToyImages"), batch_size=BATCH)
    cfg.train_dataloader.collate_fn = dict(type="default_collate")
    cfg.train_cfg = dict(by_epoch=True, max_epochs=EPOCHS)
    cfg.optim_wrapper = dict(optimizer=dict(type="AdamW", lr=0.01))
    cfg.auto_scale_lr = dict(base_batch_size=BATCH)
    cfg.custom_hooks = hooks
    return cfg


def main() -> None:
    """Train on gloo; every process leaves the sum of its weights."""
    work_dir = Path(sys.argv[1])
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group("gloo", f"file://{work_dir}/rendezvous", rank=rank, world_size=world_size)
    cfg = config(work_dir, [dict(type="mixedae.RecognitionHook")], launcher="pytorch")
    cfg.model_wrapper_cfg = {"type": "MMDistributedDataParallel", "device_ids": None}
    cfg.train_dataloader.batch_size = BATCH // world_size
    runner = Runner.from_cfg(cfg)
    runner.train()
    total = sum(float(p.double().sum()) for p in runner.model.parameters())
    (work_dir / f"sum_{rank}").write_text(repr(total))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
