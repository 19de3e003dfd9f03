"""The models whose training steps are compared, from the recipes' own configs, with depth and image size as asked."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch import Tensor, nn

import mixedae.registry  # noqa: F401
from mixedae.errors import ConfigError
from mixedae.files import ROOT
from mixedae.registry import MODELS

CONFIGS = ROOT / "mm_configs/_base_/models"
ARCHS = {  # embed_dims, num_heads, feedforward_channels, num_layers
    "base": (768, 12, 3072, 12),
    "large": (1024, 16, 4096, 24),
}
Loss = Callable[[Tensor], Tensor]


def _sizes(arch: str, img_size: int, depth: int | None, patch_size: int = 16) -> dict[str, Any]:
    dims, heads, hidden, layers = ARCHS[arch]
    encoder = dict(embed_dims=dims, num_heads=heads, feedforward_channels=hidden, num_layers=depth or layers)
    decoder = dict(num_patches=(img_size // patch_size) ** 2, embed_dim=dims)
    return dict(encoder=encoder, decoder=decoder)


def build_model(name: str, arch: str, img_size: int, depth: int | None) -> nn.Module:
    """Build one of ``MixedAE``, ``MAE`` (ours) and ``mmpretrain MAE``, initialised, ready to train.

    Args:
        name: which.
        arch: ``base`` or ``large``; the patch is 16.
        img_size: side of the images in pixels.
        depth: layers of the encoder; default: the architecture's.
    """
    init_default_scope("mmpretrain")
    MMLogger.get_current_instance().setLevel("WARNING")  # it lists every parameter's initialisation
    sizes = _sizes(arch, img_size, depth)
    if name == "mmpretrain MAE":
        model: dict[str, Any] = dict(
            type="mmpretrain.MAE",
            backbone=dict(type="MAEViT", arch=sizes["encoder"], img_size=img_size, patch_size=16, mask_ratio=0.75),
            neck=dict(
                type="MAEPretrainDecoder", patch_size=16, decoder_embed_dim=512, decoder_depth=8,
                decoder_num_heads=16, **sizes["decoder"],
            ),
            head=dict(
                type="MAEPretrainHead", norm_pix=True, patch_size=16,
                loss=dict(type="PixelReconstructionLoss", criterion="L2"),
            ),
        )  # fmt: skip
    else:
        stem = {"MixedAE": "mixedae", "MAE": "mae"}[name]
        model = Config.fromfile(CONFIGS / f"{stem}_vit-base-p16.py").model.to_dict()
        model.pop("data_preprocessor")  # steps are given tensors
        model["backbone"].update(arch=sizes["encoder"], img_size=img_size)
        model["neck"].update(sizes["decoder"])
        model["head"].update(embed_dims=sizes["encoder"]["embed_dims"])
    built = MODELS.build(model)
    built.init_weights()
    return built.train()


def model_loss(model: Any) -> Loss:
    """The scalar that a step minimises: the sum of mmengine's losses, or the first output of a foreign module."""

    def loss(images: Tensor) -> Tensor:
        if hasattr(model, "backbone"):
            return torch.stack([x for x in model.loss(images, []).values()]).sum()
        out = model(images)
        return out[0] if isinstance(out, tuple) else out

    return loss


def load_class(spec: str) -> type[nn.Module]:
    """Load a class or function by ``FILE:NAME``.

    Called without arguments it must give a module. Called with images, the module must give its loss, or a tuple that
    begins with the loss.

    Raises:
        ConfigError: no such file or name.
    """
    file, _, name = spec.rpartition(":")
    if not Path(file).is_file():
        raise ConfigError(
            f"--against {spec}: no file {file!r}; expected FILE:NAME, such as ../mae/models_mae.py:mae_vit_base_patch16"
        )
    module_spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.path.insert(0, str(Path(file).resolve().parent))  # it may import its neighbours
    try:
        module_spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    if not hasattr(module, name):
        raise ConfigError(f"--against {spec}: {file} has no {name!r}")
    found: type[nn.Module] = getattr(module, name)
    return found
