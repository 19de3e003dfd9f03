"""This project's own names: ViTs of mmpretrain, bare or in a pre-training model or classifier."""

import re
from collections.abc import Mapping

from torch import Tensor

from mixedae.weights.formats.base import Format, Found


def convert(tensors: Mapping[str, Tensor]) -> tuple[Found, str]:
    """Take the names as they are, without the mask token of SimMIM's and BEiT's pre-training.

    Args:
        tensors: of a file, without prefix.
    """
    return Found((name, value) for name, value in tensors.items() if name != "mask_token"), "mmpretrain"


FORMAT = Format(
    name="mmpretrain",
    mark=re.compile(r"layers\.\d+\.(ln1|attn\.qkv|ffn\.layers)\."),
    convert=convert,
    source="mmpretrain models/backbones/vision_transformer.py",
)
