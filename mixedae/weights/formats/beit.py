"""BEiT v1 and v2 as microsoft/unilm writes them, pre-trained (one shared table of positions) and fine-tuned.

References:
    microsoft/unilm ``beit/modeling_pretrain.py``, ``modeling_finetune.py`` and ``run_class_finetuning.py``: 337-344, by
    which the shared table is copied to each block.
"""

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mixedae.weights.formats.base import Format, Found
from mixedae.weights.formats.timm import convert as from_timm

BIAS = re.compile(r"blocks\.(\d+)\.attn\.([qv])_bias")
TABLE = re.compile(r"blocks\.(\d+)\.attn\.relative_position_bias_table")
SHARED = "rel_pos_bias.relative_position_bias_table"
BESIDE = re.compile(r"(lm_head\.|cls_pt_layers\.|.*relative_position_index$)")


def convert(tensors: Mapping[str, Tensor]) -> tuple[Found, str]:
    """Join the biases of q and v with a zero one for k, copy the shared table, and set absolute positions to zero.

    Args:
        tensors: of a file, without prefix.
    """
    plain = {
        name: value
        for name, value in tensors.items()
        if not (BESIDE.match(name) or BIAS.fullmatch(name) or TABLE.fullmatch(name) or name == SHARED)
    }
    found, _ = from_timm(plain)
    layers = {int(name.split(".")[1]) for name in plain if name.startswith("blocks.")}
    tables = []
    for i in sorted(layers):
        biases = f"blocks.{i}.attn.q_bias", f"blocks.{i}.attn.v_bias"
        if biases[0] in tensors:
            q, v = (tensors[name] for name in biases)
            found.put(f"layers.{i}.attn.qkv.bias", torch.cat((q, torch.zeros_like(q), v)), *biases)
        table = SHARED if SHARED in tensors else f"blocks.{i}.attn.relative_position_bias_table"
        if table in tensors:
            tables.append(tensors[table])
            found.put(f"layers.{i}.attn.relative_position_bias_table", tensors[table], table)
    add_zero_positions(found, tables)
    return found, "beit" + (", shared relative positions copied to each layer" if SHARED in tensors else "")


def add_zero_positions(found: Found, tables: list[Tensor]) -> None:
    """BEiT has no absolute positions: those of the table's grid, set to zero, add nothing.

    Args:
        found: is added to.
        tables: of relative positions, (2S - 1)^2 + 3 rows each.
    """
    if "pos_embed" in found or not tables:
        return
    side = (math.isqrt(len(tables[0]) - 3) + 1) // 2
    found.put("pos_embed", found["cls_token"].new_zeros(1, side * side + 1, found["cls_token"].shape[-1]))


FORMAT = Format(
    name="beit",
    mark=re.compile(r"(blocks\.\d+\.attn\.q_bias|rel_pos_bias\.|blocks\.\d+\.attn\.relative_position_bias_table)"),
    convert=convert,
    source="microsoft/unilm beit/modeling_finetune.py",
)
