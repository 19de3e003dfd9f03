"""A ViT of timm with the weights of any checkpoint that loads, without OpenMMLab."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from mixedae.errors import ConfigError, WeightsError
from mixedae.weights.export import convert
from mixedae.weights.reading import read_weights

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}
"""Number of heads of the usual ViTs (Ti, S, B, L, H) by width, which a state dict does not tell."""


def load_vit(
    path: str | Path, heads: int | None = None, prefix: str = "backbone.", part: str = ""
) -> "tuple[VisionTransformer, str]":
    """Build timm's ``VisionTransformer`` for a checkpoint and load all of it.

    >>> vit, report = load_vit("vit.pth", heads=4)  # doctest: +SKIP
    >>> features = vit(pictures)  # (B, D), from (B, 3, H, W) normalised as in pre-training  # doctest: +SKIP

    ``vit(pictures)`` gives the [CLS] token after the last norm, or without [CLS] the mean of the patches;
    ``vit.forward_features(pictures)`` gives all tokens.

    Args:
        path: a file, see :func:`mixedae.weights.read_weights`.
        heads: of each layer. Default: the number of the usual ViT of this width; no file says it, and a wrong one gives
            wrong features without an error.
        prefix: where a whole model keeps its backbone; the usual ones are tried after it.
        part: of a file with several sets of weights.

    Returns:
        The model in evaluation mode without a head, and in one line what was loaded and what was assumed.

    Raises:
        WeightsError: the file does not load, or is of a ViT that timm's cannot be (relative positions).
        ConfigError: the number of heads is not known.
    """
    from timm.models.vision_transformer import VisionTransformer

    weights = read_weights(path, part=part)
    try:
        found = convert(weights.tensors, "timm", prefix)
    except WeightsError as error:
        raise WeightsError(f"checkpoint {path}: {error}") from None
    tensors = {name: value for name, value in found.tensors.items() if not name.startswith("head.")}
    projection = tensors["patch_embed.proj.weight"]
    width, channels, patch, _ = projection.shape
    number = heads or HEADS.get(width)
    if number is None or width % number:
        raise ConfigError(
            f"{path}: a ViT {width} wide, whose number of heads is not known; say heads=N, which divides it"
        )
    with_cls = "cls_token" in tensors
    side = math.isqrt(tensors["pos_embed"].shape[1] - with_cls)
    averages = "fc_norm.weight" in tensors and "norm.weight" not in tensors
    vit = VisionTransformer(
        img_size=side * patch,
        patch_size=patch,
        in_chans=channels,
        num_classes=0,
        embed_dim=width,
        depth=len({name.split(".")[1] for name in tensors if name.startswith("blocks.")}),
        num_heads=number,
        mlp_ratio=tensors["blocks.0.mlp.fc1.weight"].shape[0] / width,
        init_values=1.0 if "blocks.0.ls1.gamma" in tensors else None,
        class_token=with_cls,
        global_pool="avg" if averages or not with_cls else "token",
        fc_norm=averages,
        dynamic_img_size=True,
    )
    if not averages:
        tensors = {name: value for name, value in tensors.items() if not name.startswith("fc_norm.")}
    try:
        vit.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(
            f"checkpoint {path} is of a ViT that timm's cannot be: {' '.join(str(error).split())}"
        ) from None
    assumed = "" if heads else f", {number} heads assumed by the width"
    return vit.eval(), f"{path}: {found.format}{weights.note}, fingerprint {found.fingerprint[:12]}{assumed}"
