"""BEiT v1 and v2 of microsoft/unilm, pre-trained (one shared table of positions) and fine-tuned; MAE-pytorch.

References:
    microsoft/unilm ``beit/modeling_pretrain.py``, ``modeling_finetune.py`` and ``run_class_finetuning.py``: 337-344, by
    which the shared table is copied to each block; pengzhiliang/MAE-pytorch ``modeling_pretrain.py``, whose blocks are
    BEiT's.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mixedae.weights.formats.base import Format, Found, put_tables
from mixedae.weights.formats.timm import convert as from_timm

BIAS = re.compile(r"blocks\.(\d+)\.attn\.([qv])_bias")
TABLE = re.compile(r"blocks\.(\d+)\.attn\.relative_position_bias_table")
SHARED = "rel_pos_bias.relative_position_bias_table"
BESIDE = re.compile(r"(lm_head\.|cls_pt_layers\.|.*relative_position_index$)")


def convert(tensors: Mapping[str, Tensor]) -> tuple[Found, str]:
    """Join the biases of q and v with a zero one for k, copy the shared table, and fill in absolute positions.

    Args:
        tensors: of a file, without prefix.
    """
    plain = {
        name: value
        for name, value in tensors.items()
        if not (BESIDE.match(name) or BIAS.fullmatch(name) or TABLE.fullmatch(name) or name == SHARED)
    }
    found, _ = from_timm(plain)
    layers = sorted({int(name.split(".")[1]) for name in plain if name.startswith("blocks.")})
    for i in layers:
        biases = f"blocks.{i}.attn.q_bias", f"blocks.{i}.attn.v_bias"
        if biases[0] in tensors:
            q, v = (tensors[name] for name in biases)
            found.put(f"layers.{i}.attn.qkv.bias", torch.cat((q, torch.zeros_like(q), v)), *biases)
    has_tables = put_tables(found, tensors, layers, SHARED, "blocks.{}.attn.relative_position_bias_table")
    if "cls_token" not in found and "pos_embed" not in found and not has_tables:
        projection = found["patch_embed.projection.weight"]
        found.put("pos_embed", sine_positions((224 // projection.shape[-1]) ** 2, len(projection)))
        return found, "mae-pytorch, with the sine positions of 224 pixels, which its files leave out"
    return found, "beit" + (", shared relative positions copied to each layer" if SHARED in tensors else "")


def sine_positions(count: int, width: int) -> Tensor:
    """The fixed positions of MAE-pytorch, one dimension of them: "Attention Is All You Need", section 3.5.

    Args:
        count: N.
        width: D.

    Returns:
        (1, N, D): sin(n / 10000^(2i/D)) in channels 2i, the cosine in channels 2i + 1.
    """
    channels = torch.arange(width, dtype=torch.float64)
    angles = torch.arange(count, dtype=torch.float64)[:, None] / 10000 ** (2 * (channels // 2) / width)
    return torch.where(channels % 2 == 0, angles.sin(), angles.cos()).float()[None]


FORMAT = Format(
    name="beit",
    mark=re.compile(r"(blocks\.\d+\.attn\.q_bias|rel_pos_bias\.|blocks\.\d+\.attn\.relative_position_bias_table)"),
    convert=convert,
    source="microsoft/unilm beit/modeling_finetune.py",
)
