"""Small models for the tests of this folder."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mmengine.registry import init_default_scope

import mixedae.registry  # noqa: F401
from mixedae.registry import MODELS

ARCH = dict(embed_dims=32, num_layers=3, num_heads=4, feedforward_channels=64)
DECODER = dict(num_patches=16, patch_size=4, embed_dim=32, decoder_embed_dim=16, decoder_depth=2, decoder_num_heads=2)


def build(
    kind: str, backbone: dict | None = None, head: dict | None = None, neck: dict | None = None, **kwargs: Any
) -> torch.nn.Module:
    """An initialised MAE or MixedAE on 16 x 16 pixels, patch 4 (L = 16)."""
    init_default_scope("mmpretrain")
    attention = "plain" if kind == "MAE" else "homologous"
    weight = 0.0 if kind == "MAE" else 0.1
    decoder = dict(type="mixedae.MixedAEPretrainDecoder", **{**DECODER, **(neck or {})})
    model = MODELS.build(
        dict(
            type=f"mixedae.{kind}",
            backbone={
                "type": "mixedae.MixedAEPretrainViT",
                "arch": ARCH,
                "img_size": 16,
                "patch_size": 4,
                "attention": attention,
                **(backbone or {}),
            },
            neck=decoder if kwargs.get("reconstruction", True) else None,
            head={
                "type": "mixedae.MixedAEPretrainHead",
                "embed_dims": 32,
                "projector_dims": 8,
                "contrastive_weight": weight,
                **(head or {}),
            },
            **kwargs,
        )
    )
    model.init_weights()
    return model


@pytest.fixture
def make() -> Callable[..., torch.nn.Module]:
    torch.manual_seed(0)
    return build


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
