"""Hugging Face's ViT, ViTMAE, DeiT, BEiT and DINOv2: query, key and value are three tensors there.

References:
    transformers 4 ``models/vit/modeling_vit.py``, ``vit_mae``, ``beit`` and ``dinov2``.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mixedae.weights.formats.base import Format, Found, refuse_registers, without_distillation
from mixedae.weights.formats.beit import add_zero_positions
from mixedae.weights.formats.names import translated

NAMES = (
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection.", "patch_embed.projection."),
    ("encoder.layer.*.layernorm_before.", "layers.*.ln1."),
    ("encoder.layer.*.norm1.", "layers.*.ln1."),
    ("encoder.layer.*.attention.output.dense.", "layers.*.attn.proj."),
    ("encoder.layer.*.lambda_1", "layers.*.attn.gamma1.weight"),
    ("encoder.layer.*.layer_scale1.lambda1", "layers.*.attn.gamma1.weight"),
    ("encoder.layer.*.layernorm_after.", "layers.*.ln2."),
    ("encoder.layer.*.norm2.", "layers.*.ln2."),
    ("encoder.layer.*.intermediate.dense.", "layers.*.ffn.layers.0.0."),
    ("encoder.layer.*.mlp.fc1.", "layers.*.ffn.layers.0.0."),
    ("encoder.layer.*.output.dense.", "layers.*.ffn.layers.1."),
    ("encoder.layer.*.mlp.fc2.", "layers.*.ffn.layers.1."),
    ("encoder.layer.*.lambda_2", "layers.*.ffn.gamma2.weight"),
    ("encoder.layer.*.layer_scale2.lambda1", "layers.*.ffn.gamma2.weight"),
    ("layernorm.", "ln1."),
    ("pooler.layernorm.", "ln2."),
)
PART = re.compile(r"encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(weight|bias)")
TABLE = "encoder.layer.{}.attention.attention.relative_position_bias.relative_position_bias_table"
SHARED = "encoder.relative_position_bias.relative_position_bias_table"
BESIDE = re.compile(
    r"(decoder\.|pooler\.dense\.|classifier\.|lm_head\.|embeddings\.(mask_token|distillation_token)$|"
    r".*relative_position_index$|.*relative_position_bias_table$)"
)


def convert(tensors: Mapping[str, Tensor]) -> tuple[Found, str]:
    """Translate the names and join query, key and value.

    Args:
        tensors: of a file, without prefix.

    Raises:
        WeightsError: register tokens, for which this ViT has no place.
    """
    refuse_registers(tensors, "embeddings.register_tokens")
    found, joined = Found(), dict[tuple[str, str], dict[str, str]]()
    for name, value in tensors.items():
        if part := PART.fullmatch(name):
            joined.setdefault((part[1], part[3]), {})[part[2]] = name
        elif not BESIDE.match(name):
            found.put(translated(name, NAMES) or name, value, name)
    for (layer, kind), names in joined.items():
        like = tensors[names["query"]]
        parts = [tensors[names[p]] if p in names else torch.zeros_like(like) for p in ("query", "key", "value")]
        found.put(f"layers.{layer}.attn.qkv.{kind}", torch.cat(parts), *names.values())  # BEiT's keys have no bias
    tables = []
    for layer in sorted({layer for layer, _ in joined}, key=int):
        table = SHARED if SHARED in tensors else TABLE.format(layer)
        if table in tensors:
            tables.append(tensors[table])
            found.put(f"layers.{layer}.attn.relative_position_bias_table", tensors[table], table)
    add_zero_positions(found, tables)
    embed = found.get("pos_embed")
    if "embeddings.distillation_token" in tensors and embed is not None:
        found.put("pos_embed", without_distillation(embed), *found.sources["pos_embed"])
    return found, "huggingface"


FORMAT = Format(
    name="huggingface",
    mark=re.compile(r"encoder\.layer\.\d+\.attention\.attention\.query\."),
    convert=convert,
    source="transformers models/vit/modeling_vit.py",
)
