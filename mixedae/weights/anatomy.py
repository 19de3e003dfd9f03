"""What a ViT is, from its tensors and what its file says: enough to build it, here or in another library."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixedae.errors import ConfigError, WeightsError
from mixedae.weights.facts import CLIP_EPS, EPS, Facts, usual_heads
from mixedae.weights.report import listed


@dataclass(frozen=True)
class Anatomy:
    """Sizes and parts of a ViT.

    Attributes:
        width: D.
        layers: number of blocks.
        heads: of each block.
        hidden: width of the MLPs.
        patch: side of a patch in pixels.
        channels: of the pictures.
        grid: (rows, columns) of patches that the positions are for.
        with_cls: whether there is a [CLS] token.
        registers: number of register tokens.
        pre_norm: whether a norm stands before the first block (CLIP).
        layer_scale: whether the blocks have LayerScale.
        relative: ``none``, ``table`` (BEiT) or ``decomposed`` (ViTDet): the kind of relative positions.
        averages: whether the last norm is of the averaged patch tokens (``ln2``, timm's ``fc_norm``).
        eps: of the LayerNorms.
        activation: ``gelu`` or ``quick_gelu``.
        assumed: in words, what neither the tensors nor the file say; empty if nothing.
    """

    width: int
    layers: int
    heads: int
    hidden: int
    patch: int
    channels: int
    grid: tuple[int, int]
    with_cls: bool
    registers: int
    pre_norm: bool
    layer_scale: bool
    relative: str
    averages: bool
    eps: float
    activation: str
    assumed: str

    @property
    def image(self) -> tuple[int, int]:
        """(height, width) of the pictures in pixels."""
        return self.grid[0] * self.patch, self.grid[1] * self.patch

    def options(self) -> dict[str, Any]:
        """Arguments of :class:`mixedae.models.MixedAEViT`, those that are off left out."""
        arch = dict(
            embed_dims=self.width, num_layers=self.layers, num_heads=self.heads, feedforward_channels=self.hidden
        )
        options = dict(arch=arch, img_size=self.image[0], patch_size=self.patch, with_cls_token=self.with_cls)
        if self.grid[0] != self.grid[1]:
            options["img_size"] = self.image
        more = dict(
            in_channels=(self.channels, self.channels != 3),
            registers=(self.registers, self.registers > 0),
            pre_norm=(True, self.pre_norm),
            layer_scale_init_value=(1.0, self.layer_scale),
            relative_position=(self.relative, self.relative != "none"),
            norm_cfg=(dict(type="LN", eps=self.eps), self.eps != EPS),
            layer_cfgs=(dict(act_cfg=dict(type="mmpretrain.QuickGELU")), self.activation == "quick_gelu"),
        )
        return options | {key: value for key, (value, given) in more.items() if given}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor that such a ViT must have, by mmpretrain's names; final norms and relative positions aside."""
        width, hidden = self.width, self.hidden
        found: dict[str, tuple[int, ...]] = {
            "patch_embed.projection.weight": (width, self.channels, self.patch, self.patch),
            "pos_embed": (1, self.grid[0] * self.grid[1] + self.with_cls, width),
        }
        linear = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
        linear |= {"ffn.layers.0.0": (hidden, width), "ffn.layers.1": (width, hidden)}
        for i in range(self.layers):
            for name, shape in linear.items():
                found |= {f"layers.{i}.{name}.weight": shape, f"layers.{i}.{name}.bias": shape[:1]}
            for name in ("ln1", "ln2"):
                found |= {f"layers.{i}.{name}.{kind}": (width,) for kind in ("weight", "bias")}
            if self.layer_scale:
                found |= {f"layers.{i}.attn.gamma1.weight": (width,), f"layers.{i}.ffn.gamma2.weight": (width,)}
        if self.pre_norm:
            found |= {"pre_norm.weight": (width,), "pre_norm.bias": (width,)}
        else:
            found["patch_embed.projection.bias"] = (width,)
        if self.with_cls:
            found["cls_token"] = (1, 1, width)
        if self.registers:
            found["register_tokens"] = (1, self.registers, width)
        return found


OPTIONAL = re.compile(r"(ln[12]\.(weight|bias)|layers\.\d+\.attn\.(relative_position_bias_table|rel_pos_[hw]))")


def check_whole(tensors: Mapping[str, Tensor], this: Anatomy, path: object = "the file") -> None:
    """Check that every tensor is there, of its shape, finite, and known.

    Args:
        tensors: by mmpretrain's names.
        this: what they are said to be.
        path: of the file, for messages.

    Raises:
        WeightsError: naming what is not as it should be.
    """
    wanted = this.shapes()
    problems = {
        "missing": [name for name in wanted if name not in tensors],
        "of another shape": [
            f"{name} {tuple(tensors[name].shape)} for {shape}"
            for name, shape in wanted.items()
            if name in tensors and tuple(tensors[name].shape) != shape
        ],
        "unknown": [name for name in tensors if name not in wanted and not OPTIONAL.fullmatch(name)],
        "not finite": [name for name, value in tensors.items() if not torch.isfinite(value).all()],
    }
    if any(problems.values()):
        raise WeightsError(f"{path} is not a whole ViT. {listed(problems)}; take a copy that is")


def anatomy_of(
    tensors: Mapping[str, Tensor], format_name: str, facts: Facts, heads: int | None = None, path: object = "the file"
) -> Anatomy:
    """Describe a ViT.

    Args:
        tensors: by mmpretrain's names, see :func:`mixedae.weights.to_backbone`.
        format_name: the second value of that function.
        facts: what the file says.
        heads: what the user says; it wins over the facts.
        path: of the file, for messages.

    Raises:
        ConfigError: the number of heads is not known, or does not divide the width.
        WeightsError: no patch or position embedding, or positions of no square.
    """
    projection, embed = tensors.get("patch_embed.projection.weight"), tensors.get("pos_embed")
    if projection is None or projection.ndim != 4 or embed is None or embed.ndim != 3:
        raise WeightsError(f"{path} has no patch or position embedding; expected a whole ViT")
    width, channels, patch, _ = projection.shape
    with_cls = "cls_token" in tensors
    count = embed.shape[1] - with_cls
    side = math.isqrt(count)
    if side * side != count:
        raise WeightsError(f"{path} has {count} positions, no square grid; expected a square one")
    usual = usual_heads(width, format_name)
    number = heads or facts.heads or usual
    if number is None or width % number:
        found = f"{number} heads do not divide it" if number else "its number of heads is not known"
        raise ConfigError(f"{path}: a ViT {width} wide; {found}; say heads=N (--heads N), which divides the width")
    is_clip = "pre_norm.weight" in tensors
    assumed = [] if heads or facts.heads else [f"{number} heads assumed by the width"]
    if is_clip and not facts.activation:
        assumed.append("the activation of OpenAI's CLIP assumed (quick_gelu)")
    if facts.activation not in (None, "gelu", "quick_gelu"):
        raise WeightsError(f"{facts.source} says the activation {facts.activation!r}; expected gelu or quick_gelu")
    relative = {"relative_position_bias_table": "table", "rel_pos_h": "decomposed"}
    tokens = tensors.get("register_tokens")
    return Anatomy(
        width=width,
        layers=1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("layers.")),
        heads=number,
        hidden=len(tensors.get("layers.0.ffn.layers.0.0.weight", ())),
        patch=patch,
        channels=channels,
        grid=(side, side),
        with_cls=with_cls,
        registers=tokens.shape[1] if tokens is not None and tokens.ndim == 3 else 0,
        pre_norm="pre_norm.weight" in tensors,
        layer_scale="layers.0.attn.gamma1.weight" in tensors,
        relative=next((relative[n.split(".")[-1]] for n in tensors if n.split(".")[-1] in relative), "none"),
        averages="ln2.weight" in tensors and "ln1.weight" not in tensors,
        eps=facts.eps or (CLIP_EPS if is_clip else EPS),
        activation=facts.activation or ("quick_gelu" if is_clip else "gelu"),
        assumed=", ".join(assumed),
    )
