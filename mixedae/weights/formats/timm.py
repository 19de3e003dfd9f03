"""timm's names, and what shares them: official MAE, DeiT, DeiT III, DINO, iBOT, MoCo v3, detectron2's ViTDet.

References:
    timm ``models/vision_transformer.py`` (``no_embed_class``, ``qkv_bias``, ``pre_logits``); facebookresearch/mae
    ``models_mae.py`` and ``models_vit.py`` (``decoder_*`` when pre-trained, ``fc_norm`` when fine-tuned on averaged
    patch tokens); facebookresearch/deit ``models.py`` (``dist_token``) and ``models_v2.py`` (``gamma_1``);
    bytedance/ibot ``models/vision_transformer.py`` (``masked_embed``).
"""

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mixedae.weights.formats.base import Format, Found, without_distillation
from mixedae.weights.formats.names import timm_to_mmpretrain

BESIDE = re.compile(r"^(decoder_|mask_token$|masked_embed$|head\.|head_dist\.|pre_logits\.|dist_token$|fc\.)")
"""What state dicts hold beside the backbone."""

GAMMA = re.compile(r"blocks\.(\d+)\.gamma_([12])")
RELATIVE = re.compile(r"blocks\.(\d+)\.attn\.rel_pos_([hw])")
"""ViTDet's, of detectron2 and mmdet's project, which timm does not have."""

QKV = re.compile(r"blocks\.(\d+)\.attn\.qkv\.weight")


def convert(tensors: Mapping[str, Tensor]) -> tuple[Found, str]:
    """Translate the names; fill in what a variant leaves out, drop the distillation token.

    Args:
        tensors: of a file, without prefix.
    """
    found = Found()
    for name, value in tensors.items():
        if BESIDE.match(name):
            continue
        new = timm_to_mmpretrain(name)
        if gamma := GAMMA.fullmatch(name):
            part = "attn.gamma1" if gamma[2] == "1" else "ffn.gamma2"
            new = f"layers.{gamma[1]}.{part}.weight"
        if relative := RELATIVE.fullmatch(name):
            new = f"layers.{relative[1]}.attn.rel_pos_{relative[2]}"
        found.put(new, value, name)
        if (qkv := QKV.fullmatch(name)) and f"blocks.{qkv[1]}.attn.qkv.bias" not in tensors:  # qkv_bias=False
            found.put(f"layers.{qkv[1]}.attn.qkv.bias", value.new_zeros(len(value)))
    _fit_positions(found, "dist_token" in tensors)
    return found, _name(tensors)


def _fit_positions(found: Found, distilled: bool) -> None:
    """One position for [CLS], then the patches'; those of register tokens are added to the tokens."""
    embed = found.get("pos_embed")
    if embed is None or embed.ndim != 3:
        return
    if "cls_token" not in found:
        if _is_square(embed.shape[1] - 1) and not _is_square(embed.shape[1]):  # ViTDet keeps the position of [CLS]
            found.put("pos_embed", embed[:, 1:], "pos_embed")
        return
    tokens = found.get("register_tokens")
    number = 0 if tokens is None or tokens.ndim != 3 else tokens.shape[1]
    count = embed.shape[1]
    if distilled:
        embed = without_distillation(embed)
    elif _is_square(count - 1):
        return
    elif _is_square(count):  # no_embed_class: [CLS] gets nothing
        embed = torch.cat((embed.new_zeros(1, 1, embed.shape[2]), embed), 1)
    elif tokens is not None and number and _is_square(count - 1 - number):
        name = next(iter(found.sources["register_tokens"]))
        found.put("register_tokens", tokens + embed[:, 1 : 1 + number], name)
        embed = torch.cat((embed[:, :1], embed[:, 1 + number :]), 1)
    found.put("pos_embed", embed, "pos_embed")


def _is_square(count: int) -> bool:
    return math.isqrt(count) ** 2 == count


def _name(tensors: Mapping[str, Tensor]) -> str:
    if any(name.startswith("decoder_") for name in tensors):
        return "mae-pretrained"
    if "dist_token" in tensors:
        return "deit-distilled, without its distillation token"
    if any(map(GAMMA.fullmatch, tensors)):
        return "deit-3"
    return "mae-finetuned" if "fc_norm.weight" in tensors else "timm"


FORMAT = Format(
    name="timm",
    mark=re.compile(r"blocks\.\d+\.(norm1|attn\.qkv|mlp\.fc1)\."),
    unless=re.compile(r"(blocks\.\d+\.attn\.q_bias|rel_pos_bias\.|blocks\.\d+\.attn\.relative_position_bias_table)"),
    convert=convert,
    source="timm models/vision_transformer.py",
)
