"""Hugging Face's ViT, ViTMAE, DeiT, BEiT and DINOv2: query, key and value are three tensors there.

References:
    transformers 4 ``models/vit/modeling_vit.py``, ``vit_mae``, ``beit`` and ``dinov2``.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from mixedae.weights.formats.base import Format, Found, put_joined, put_tables, without_distillation
from mixedae.weights.formats.names import translated

NAMES = (
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.register_tokens", "register_tokens"),
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
PART = re.compile(
    r"encoder\.layer\.(?P<layer>\d+)\.attention\.attention\.(?P<part>query|key|value)\.(?P<kind>weight|bias)"
)
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
    """
    found = Found()
    for name, value in tensors.items():
        if not (PART.fullmatch(name) or BESIDE.match(name)):
            found.put(translated(name, NAMES) or name, value, name)
    layers = put_joined(found, tensors, PART, "layers.{}.attn.qkv.{}")
    put_tables(found, tensors, layers, SHARED, TABLE)
    embed = found.get("pos_embed")
    if "embeddings.distillation_token" not in tensors or embed is None:
        return found, "huggingface"
    found.put("pos_embed", without_distillation(embed), *found.sources["pos_embed"])
    return found, "huggingface, without its distillation token"


FORMAT = Format(
    name="huggingface",
    mark=re.compile(r"encoder\.layer\.\d+\.attention\.attention\.query\."),
    convert=convert,
    source="transformers models/vit/modeling_vit.py",
)
