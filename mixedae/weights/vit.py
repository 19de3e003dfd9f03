"""A ViT of timm with the weights of any checkpoint that loads, without OpenMMLab."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixedae.errors import WeightsError
from mixedae.weights.anatomy import Anatomy, anatomy_of, check_whole
from mixedae.weights.export import convert
from mixedae.weights.reading import read_weights

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


def load_vit(
    path: str | Path, heads: int | None = None, prefix: str = "backbone.", part: str = "", any_size: bool = True
) -> "tuple[VisionTransformer, str]":
    """Build timm's ``VisionTransformer`` for a checkpoint and load all of it.

    >>> vit, report = load_vit("vit.pth", heads=4)  # doctest: +SKIP
    >>> features = vit(pictures)  # (B, D), from (B, 3, H, W) normalised as in pre-training  # doctest: +SKIP

    ``vit(pictures)`` gives the [CLS] token after the last norm, or without [CLS] the mean of the patches;
    ``vit.forward_features(pictures)`` gives all tokens.

    Args:
        path: a file, see :func:`mixedae.weights.read_weights`.
        heads: of each layer. Default: what the file or the config.json beside it says, else the number of the usual
            ViT of this width, which the report then says; a wrong one gives wrong features without an error.
        prefix: where a whole model keeps its backbone; the usual ones are tried after it.
        part: of a file with several sets of weights.
        any_size: whether pictures may have another size than the checkpoint's, with interpolated positions.

    Returns:
        The model in evaluation mode without a head, and in one line what was loaded and what was assumed.

    Raises:
        WeightsError: the file does not load, or is of a ViT that timm's cannot be (relative positions).
        ConfigError: the number of heads is not known.
    """
    weights = read_weights(path, part=part)
    try:
        found = convert(weights.tensors, "timm", prefix)
    except WeightsError as error:
        raise WeightsError(f"checkpoint {path}: {error}") from None
    this = anatomy_of(found.backbone, found.format, weights.facts, heads, path)
    check_whole(found.backbone, this, f"checkpoint {path}")
    vit = timm_vit(this, any_size)
    tensors = {name: value for name, value in found.tensors.items() if not name.startswith("head.")}
    if this.with_cls and not this.averages:
        tensors = {name: value for name, value in tensors.items() if not name.startswith("fc_norm.")}
    try:
        vit.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(
            f"checkpoint {path} is of a ViT that timm's cannot be: {' '.join(str(error).split())}"
        ) from None
    assumed = f", {this.assumed}" if this.assumed else ""
    return vit.eval(), f"{path}: {found.format}{weights.note}, fingerprint {found.fingerprint[:12]}{assumed}"


def timm_vit(this: Anatomy, any_size: bool = True) -> "VisionTransformer":
    """The ViT of timm of a kind, with initial weights.

    Args:
        this: sizes and parts.
        any_size: see :func:`load_vit`.
    """
    from timm.layers import LayerNorm
    from timm.models.vision_transformer import VisionTransformer

    norm = partial(LayerNorm, eps=this.eps)
    return VisionTransformer(**timm_options(this), norm_layer=norm, num_classes=0, dynamic_img_size=any_size)


def timm_options(this: Anatomy) -> dict[str, Any]:
    """Arguments of timm's ``VisionTransformer``, as names and numbers only, but the norms' eps.

    Args:
        this: sizes and parts.
    """
    return dict(
        img_size=this.image[0],
        patch_size=this.patch,
        in_chans=this.channels,
        embed_dim=this.width,
        depth=this.layers,
        num_heads=this.heads,
        mlp_ratio=this.hidden / this.width,
        class_token=this.with_cls,
        reg_tokens=this.registers,
        pre_norm=this.pre_norm,
        init_values=1.0 if this.layer_scale else None,
        global_pool="avg" if this.averages or not this.with_cls else "token",
        fc_norm=this.averages,
        act_layer=this.activation,
    )
