"""Parameter names of ViTs in mmpretrain's words, which are this project's, and in timm's.

References:
    mmpretrain ``models/backbones/vision_transformer.py``; timm ``models/vision_transformer.py``, whose names
    facebookresearch/mae, DeiT, DINO, iBOT and MoCo v3 share.
"""

import re
from collections.abc import Iterable

NAMES = (
    ("cls_token", "cls_token"),
    ("pos_embed", "pos_embed"),
    ("register_tokens", "reg_token"),
    ("patch_embed.projection.", "patch_embed.proj."),
    ("pre_norm.", "norm_pre."),
    ("layers.*.ln1.", "blocks.*.norm1."),
    ("layers.*.attn.qkv.", "blocks.*.attn.qkv."),
    ("layers.*.attn.proj.", "blocks.*.attn.proj."),
    ("layers.*.attn.gamma1.weight", "blocks.*.ls1.gamma"),
    ("layers.*.ln2.", "blocks.*.norm2."),
    ("layers.*.ffn.layers.0.0.", "blocks.*.mlp.fc1."),
    ("layers.*.ffn.layers.1.", "blocks.*.mlp.fc2."),
    ("layers.*.ffn.gamma2.weight", "blocks.*.ls2.gamma"),
    ("ln1.", "norm."),
    ("ln2.", "fc_norm."),
)
"""Parameters of a ViT in mmpretrain's and in timm's names. ``*`` is the number of a layer; a name that ends with a dot
stands for a weight and a bias."""


def timm_to_mmpretrain(name: str) -> str:
    """Translate one parameter name; a name that mmpretrain does not have is returned as it is.

    Args:
        name: as in timm or facebookresearch/mae, such as ``blocks.3.mlp.fc1.weight``.

    Returns:
        As in mmpretrain, such as ``layers.3.ffn.layers.0.0.weight``.
    """
    return translated(name, [(theirs, ours) for ours, theirs in NAMES]) or name


def mmpretrain_to_timm(name: str) -> str | None:
    """Translate one parameter name; the inverse of :func:`timm_to_mmpretrain`.

    Args:
        name: as in mmpretrain, such as ``layers.3.ffn.layers.0.0.weight``.

    Returns:
        As in timm, such as ``blocks.3.mlp.fc1.weight``; None for what timm's ViT does not have.
    """
    return translated(name, NAMES)


def translated(name: str, table: Iterable[tuple[str, str]]) -> str | None:
    """The name in the second column of a table, for a name in the first; None for any other name.

    Args:
        name: of a parameter.
        table: as :data:`NAMES`.
    """
    for pattern, replacement in table:
        tail = "(weight|bias)" if pattern.endswith(".") else ""
        found = re.fullmatch(re.escape(pattern).replace(r"\*", r"(\d+)") + tail, name)
        if found:
            parts = list(found.groups())
            new = replacement.replace("*", parts.pop(0)) if "*" in replacement else replacement
            return new + "".join(parts)
    return None
