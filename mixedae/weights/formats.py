"""The naming schemes of ViT and ResNet checkpoints, told apart by their keys and converted to mmpretrain's names.

References:
    mmpretrain ``models/backbones/vision_transformer.py`` (the names used here), timm ``models/vision_transformer.py``,
    facebookresearch/mae ``models_mae.py`` and ``models_vit.py`` (timm's names; ``decoder_*`` when pre-trained,
    ``fc_norm`` when fine-tuned on averaged patch tokens). ResNets: torchvision ``models/resnet.py``, whose names are
    mmpretrain's; the prefixes are those of the published files, as linusericsson/ssl-transfer
    ``download_and_prepare_models.py`` reads them.
"""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from mixedae.errors import WeightsError

MMPRETRAIN_KEY = re.compile(r"layers\.\d+\.(ln1|attn\.qkv|ffn\.layers)\.")
TIMM_KEY = re.compile(r"blocks\.\d+\.(norm1|attn\.qkv|mlp\.fc1)\.")

NAMES = (
    ("cls_token", "cls_token"),
    ("pos_embed", "pos_embed"),
    ("patch_embed.projection.", "patch_embed.proj."),
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

NOT_BACKBONE = re.compile(r"^(decoder_|mask_token$|head\.|head_dist\.)")
"""What state dicts of timm and official MAE hold beside the backbone."""

RESNET_MARK = "layer1.0.conv1.weight"
RESNET_PREFIXES = ("", "encoder_q.", "base_encoder.", "encoder.")
"""Prefixes that a ResNet may have, besides the one asked for: none (torchvision, SwAV, SimCLR and BYOL as converted),
MoCo v1 and v2's, MoCo v3's, InfoMin's. A ``module.`` in front of every name was removed before."""

RESNET_KEY = re.compile(r"^(conv1|bn1|layer[1-4])\.")

NOT_RESNET = re.compile(
    r"^(fc|head|neck|linear|classifier|predictor|projector|projection_head|prototypes|queue(_ptr)?|data_preprocessor|"
    r"target_net|(module\.)?(encoder_k|momentum_encoder))(\.|$)"
)
"""What the files of MoCo, SimCLR, BYOL, SwAV and of mmpretrain's classifiers hold beside the backbone, also under the
backbone's own prefix (``encoder_q.fc``)."""


def to_resnet(state_dict: Mapping[str, Tensor], prefix: str = "backbone.") -> tuple[dict[str, Tensor], str]:
    """Find the ResNet in a state dict; its tensors have the same names in torchvision and in mmpretrain.

    Args:
        state_dict: of a whole model or of a bare ResNet.
        prefix: where a whole model keeps its backbone, beside ``RESNET_PREFIXES``.

    Returns:
        The backbone's tensors, buffers included, and the format's name: ``resnet``, with the prefix if there is one.

    Raises:
        WeightsError: no ResNet, or a tensor that is neither the backbone's nor on the list of what may be left out.
    """
    at = next((p for p in dict.fromkeys((prefix, *RESNET_PREFIXES)) if f"{p}{RESNET_MARK}" in state_dict), None)
    if at is None:
        raise WeightsError(
            f"the {len(state_dict)} keys are of no ResNet known here (found: {', '.join(list(state_dict)[:5])}); "
            f"expected {RESNET_MARK}, bare or behind {', '.join((prefix, *RESNET_PREFIXES[1:]))}"
        )
    inside = {name.removeprefix(at): value for name, value in state_dict.items() if name.startswith(at)}
    outside = [name for name in state_dict if not name.startswith(at)]
    backbone = {name: value for name, value in inside.items() if RESNET_KEY.match(name)}
    if unknown := [name for name in (*outside, *(inside.keys() - backbone.keys())) if not NOT_RESNET.match(name)]:
        raise WeightsError(
            f"{len(unknown)} tensors are neither of the ResNet nor known to belong beside it: {', '.join(unknown[:5])}"
            "; expected torchvision's names, and of others only heads, queues and momentum encoders"
        )
    return backbone, f"resnet ({at}*)" if at else "resnet"


def to_backbone(state_dict: Mapping[str, Tensor], prefix: str = "backbone.") -> tuple[dict[str, Tensor], str]:
    """Find the ViT backbone in a state dict and give its tensors mmpretrain's names.

    Args:
        state_dict: of a whole model (mmpretrain's and this project's pre-training models and classifiers: keys under
            ``prefix``), or of a bare ViT in mmpretrain's, timm's or facebookresearch/mae's names.
        prefix: where a whole model keeps its backbone.

    Returns:
        The backbone's tensors (decoder, head and all else that is not backbone are left out, see
        :attr:`mixedae.weights.LoadReport.dropped`), and the format's name: ``mmpretrain``, ``mmpretrain-backbone``,
        ``mae-pretrained``, ``mae-finetuned`` or ``timm``. timm's own models that average patch tokens have the same
        keys as official MAE's fine-tuned ones and are called ``mae-finetuned`` too.

    Raises:
        WeightsError: the keys belong to no ViT that is known here.
    """
    inside = {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}
    is_whole_model = bool(prefix and inside)
    tensors = inside if is_whole_model else dict(state_dict)
    if any(MMPRETRAIN_KEY.match(name) for name in tensors):
        tensors.pop("mask_token", None)  # of SimMIM's and BEiT's pre-training backbones
        return tensors, "mmpretrain" if is_whole_model else "mmpretrain-backbone"
    if any(TIMM_KEY.match(name) for name in tensors):
        return _from_timm(tensors)
    found = ", ".join(list(state_dict)[:5])
    raise WeightsError(
        f"the {len(state_dict)} keys are of no ViT known here (found: {found}); expected mmpretrain's names "
        f"({prefix}layers.0.attn.qkv.weight, or without {prefix!r}), or those of timm and facebookresearch/mae "
        "(blocks.0.attn.qkv.weight)"
    )


def _from_timm(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    converted = {timm_to_mmpretrain(name): value for name, value in tensors.items() if not NOT_BACKBONE.match(name)}
    if any(name.startswith("decoder_") for name in tensors):
        return converted, "mae-pretrained"
    return converted, "mae-finetuned" if "fc_norm.weight" in tensors else "timm"


def timm_to_mmpretrain(name: str) -> str:
    """Translate one parameter name; a name that mmpretrain does not have is returned as it is.

    Args:
        name: as in timm or facebookresearch/mae, such as ``blocks.3.mlp.fc1.weight``.

    Returns:
        As in mmpretrain, such as ``layers.3.ffn.layers.0.0.weight``.
    """
    return _translated(name, [(theirs, ours) for ours, theirs in NAMES]) or name


def mmpretrain_to_timm(name: str) -> str | None:
    """Translate one parameter name; the inverse of :func:`timm_to_mmpretrain`.

    Args:
        name: as in mmpretrain, such as ``layers.3.ffn.layers.0.0.weight``.

    Returns:
        As in timm, such as ``blocks.3.mlp.fc1.weight``; None for what timm's ViT does not have.
    """
    return _translated(name, NAMES)


def _translated(name: str, table: Iterable[tuple[str, str]]) -> str | None:
    """The name in the second column of the table, for a name in the first; None for any other name."""
    for pattern, replacement in table:
        tail = "(weight|bias)" if pattern.endswith(".") else ""
        found = re.fullmatch(re.escape(pattern).replace(r"\*", r"(\d+)") + tail, name)
        if found:
            parts = list(found.groups())
            new = replacement.replace("*", parts.pop(0)) if "*" in replacement else replacement
            return new + "".join(parts)
    return None
