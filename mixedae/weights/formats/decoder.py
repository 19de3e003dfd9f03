"""The decoder of MAE as official MAE and Hugging Face's ViTMAE write it, in mmpretrain's names.

References:
    facebookresearch/mae ``models_mae.py``; transformers 4 ``models/vit_mae/modeling_vit_mae.py``; mmpretrain
    ``models/necks/mae_neck.py``.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from mixedae.weights.formats.base import Found, put_joined
from mixedae.weights.formats.names import translated

NAMES = (
    ("mask_token", "mask_token"),
    ("decoder_pos_embed", "decoder_pos_embed"),
    ("decoder_embed.", "decoder_embed."),
    ("decoder_blocks.*.ln1.", "decoder_blocks.*.norm1."),
    ("decoder_blocks.*.attn.qkv.", "decoder_blocks.*.attn.qkv."),
    ("decoder_blocks.*.attn.proj.", "decoder_blocks.*.attn.proj."),
    ("decoder_blocks.*.ln2.", "decoder_blocks.*.norm2."),
    ("decoder_blocks.*.ffn.layers.0.0.", "decoder_blocks.*.mlp.fc1."),
    ("decoder_blocks.*.ffn.layers.1.", "decoder_blocks.*.mlp.fc2."),
    ("ln1.", "decoder_norm."),
    ("decoder_pred.", "decoder_pred."),
)
"""mmpretrain's names, and official MAE's."""

HUGGING_FACE = (
    ("mask_token", "decoder.mask_token"),
    ("decoder_pos_embed", "decoder.decoder_pos_embed"),
    ("decoder_embed.", "decoder.decoder_embed."),
    ("decoder_blocks.*.ln1.", "decoder.decoder_layers.*.layernorm_before."),
    ("decoder_blocks.*.attn.proj.", "decoder.decoder_layers.*.attention.output.dense."),
    ("decoder_blocks.*.ln2.", "decoder.decoder_layers.*.layernorm_after."),
    ("decoder_blocks.*.ffn.layers.0.0.", "decoder.decoder_layers.*.intermediate.dense."),
    ("decoder_blocks.*.ffn.layers.1.", "decoder.decoder_layers.*.output.dense."),
    ("ln1.", "decoder.decoder_norm."),
    ("decoder_pred.", "decoder.decoder_pred."),
)
"""mmpretrain's names, and Hugging Face's."""

PART = re.compile(
    r"decoder\.decoder_layers\.(?P<layer>\d+)\.attention\.attention\.(?P<part>query|key|value)\.(?P<kind>weight|bias)"
)


def find_decoder(tensors: Mapping[str, Tensor]) -> Found | None:
    """Find the decoder in a whole checkpoint; None if there is none.

    Args:
        tensors: of the file, as its code names them.

    Returns:
        Tensors by the names of ``mmpretrain.MAEPretrainDecoder``.
    """
    table = [(theirs, ours) for ours, theirs in NAMES]
    if "decoder_pred.weight" not in tensors:
        table = [(theirs, ours) for ours, theirs in HUGGING_FACE]
        if "decoder.decoder_pred.weight" not in tensors:
            return None
    found = Found()
    for name, value in tensors.items():
        if new := translated(name, table):
            found.put(new, value, name)
    put_joined(found, tensors, PART, "decoder_blocks.{}.attn.qkv.{}")
    return found
