"""CLIP's vision tower, of Hugging Face and of OpenAI's own names (open_clip's): a norm before the first layer.

References:
    transformers 4 ``models/clip/modeling_clip.py``; mlfoundations/open_clip ``src/open_clip/transformer.py``.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from mixedae.weights.formats.base import Format, Found, put_joined
from mixedae.weights.formats.names import translated

NAMES = (
    ("embeddings.patch_embedding.weight", "patch_embed.projection.weight"),
    ("conv1.weight", "patch_embed.projection.weight"),
    ("pre_layrnorm.", "pre_norm."),
    ("ln_pre.", "pre_norm."),
    ("encoder.layers.*.layer_norm1.", "layers.*.ln1."),
    ("transformer.resblocks.*.ln_1.", "layers.*.ln1."),
    ("transformer.resblocks.*.attn.in_proj_weight", "layers.*.attn.qkv.weight"),
    ("transformer.resblocks.*.attn.in_proj_bias", "layers.*.attn.qkv.bias"),
    ("encoder.layers.*.self_attn.out_proj.", "layers.*.attn.proj."),
    ("transformer.resblocks.*.attn.out_proj.", "layers.*.attn.proj."),
    ("encoder.layers.*.layer_norm2.", "layers.*.ln2."),
    ("transformer.resblocks.*.ln_2.", "layers.*.ln2."),
    ("encoder.layers.*.mlp.fc1.", "layers.*.ffn.layers.0.0."),
    ("transformer.resblocks.*.mlp.c_fc.", "layers.*.ffn.layers.0.0."),
    ("encoder.layers.*.mlp.fc2.", "layers.*.ffn.layers.1."),
    ("transformer.resblocks.*.mlp.c_proj.", "layers.*.ffn.layers.1."),
    ("post_layernorm.", "ln1."),
    ("ln_post.", "ln1."),
)
CLS = ("embeddings.class_embedding", "class_embedding")
POSITIONS = ("embeddings.position_embedding.weight", "positional_embedding")
PART = re.compile(r"encoder\.layers\.(?P<layer>\d+)\.self_attn\.(?P<part>[qkv])_proj\.(?P<kind>weight|bias)")
BESIDE = ("embeddings.position_ids", "proj")


def convert(tensors: Mapping[str, Tensor]) -> tuple[Found, str]:
    """Translate the names, join q, k and v, and give [CLS] and positions their batch dimension.

    Args:
        tensors: of a file, without prefix.
    """
    found = Found()
    for name, value in tensors.items():
        if name in CLS:
            found.put("cls_token", value.view(1, 1, -1), name)
        elif name in POSITIONS:
            found.put("pos_embed", value[None], name)
        elif not (PART.fullmatch(name) or name in BESIDE):
            found.put(translated(name, NAMES) or name, value, name)
    put_joined(found, tensors, PART, "layers.{}.attn.qkv.{}")
    return found, "clip"


FORMAT = Format(
    name="clip",
    mark=re.compile(r"(embeddings\.)?class_embedding$"),
    convert=convert,
    source="transformers models/clip/modeling_clip.py",
)
