"""The layouts of ViT checkpoints, one file each, told apart by their keys and given mmpretrain's names."""

from collections.abc import Mapping

from torch import Tensor

from mixedae.errors import WeightsError
from mixedae.weights.formats import beit, clip, huggingface, mmpretrain, timm
from mixedae.weights.formats.base import Format, Found
from mixedae.weights.formats.decoder import find_decoder
from mixedae.weights.formats.names import mmpretrain_to_timm, timm_to_mmpretrain
from mixedae.weights.formats.resnet import RESNET_MARK, to_resnet

FORMATS: tuple[Format, ...] = (mmpretrain.FORMAT, timm.FORMAT, beit.FORMAT, huggingface.FORMAT, clip.FORMAT)

PREFIXES = ("", "backbone.", "module.backbone.", "base_encoder.", "module.base_encoder.", "backbone.net.", "_orig_mod.",
            "vit.", "dinov2.", "dinov2_with_registers.", "beit.", "deit.", "vision_model.", "visual.", "encoder.",
            "model.", "module.")  # fmt: skip
"""Where files keep their ViT, beside the prefix asked for: bare; OpenMMLab, DINO and iBOT; MoCo v3; detectron2's
ViTDet; torch.compile; Hugging Face; CLIP; MAE-pytorch."""

SWIN = "layers.0.blocks.0.attn.relative_position_bias_table"

__all__ = [
    "FORMATS",
    "PREFIXES",
    "RESNET_MARK",
    "Format",
    "Found",
    "find_backbone",
    "find_decoder",
    "mmpretrain_to_timm",
    "timm_to_mmpretrain",
    "to_backbone",
    "to_resnet",
]


def find_backbone(state_dict: Mapping[str, Tensor], prefix: str = "backbone.") -> tuple[Found, str, str]:
    """Find the ViT backbone in a state dict and give its tensors mmpretrain's names.

    Args:
        state_dict: of a whole model, or of a bare ViT.
        prefix: where a whole model keeps its backbone; :data:`PREFIXES` are tried after it.

    Returns:
        The backbone's tensors; the format's name; and the prefix under which it was found. Decoders, heads and all
        else that is not backbone are left out, see :attr:`mixedae.weights.LoadReport.dropped`.

    Raises:
        WeightsError: the keys belong to no ViT that is known here.
    """
    for at in dict.fromkeys((prefix, *PREFIXES)):
        inside = {name.removeprefix(at): value for name, value in state_dict.items() if name.startswith(at)}
        for form in FORMATS:
            if form.claims(inside):
                found, name = form.convert(inside)
                for new, sources in found.sources.items():
                    found.sources[new] = tuple(at + source for source in sources)
                for new in found.keys() - found.sources.keys():
                    found.sources[new] = (at + new,)
                return found, _called(name, at, prefix), at
    raise WeightsError(_unknown(state_dict, prefix))


def to_backbone(state_dict: Mapping[str, Tensor], prefix: str = "backbone.") -> tuple[Found, str]:
    """:func:`find_backbone` without the prefix.

    Args:
        state_dict: see there.
        prefix: see there.

    Returns:
        The backbone's tensors, and the format's name: ``mmpretrain``, ``mmpretrain-backbone`` (bare),
        ``mae-pretrained``, ``mae-finetuned``, ``timm``, ``deit-3``, ``beit``, ``mae-pytorch``, ``huggingface``,
        ``clip``, with the prefix if it is another than the one asked for. timm's own models that average patch tokens
        have the same keys as official MAE's fine-tuned ones and are called ``mae-finetuned`` too.

    Raises:
        WeightsError: see there.
    """
    found, name, _ = find_backbone(state_dict, prefix)
    return found, name


def _called(name: str, at: str, prefix: str) -> str:
    if name == "mmpretrain":
        name = name if at else "mmpretrain-backbone"
    return name if at in ("", prefix) else f"{name} ({at}*)"


def _unknown(state_dict: Mapping[str, Tensor], prefix: str) -> str:
    found = ", ".join(list(state_dict)[:5])
    if any(name.endswith(SWIN) for name in state_dict):
        return f"the {len(state_dict)} keys are of a Swin Transformer (found: {found}); expected a plain ViT"
    return (
        f"the {len(state_dict)} keys are of no ViT known here (found: {found}); expected mmpretrain's names "
        f"({prefix}layers.0.attn.qkv.weight, or without {prefix!r}), those of timm and facebookresearch/mae "
        "(blocks.0.attn.qkv.weight), BEiT's, CLIP's, or Hugging Face's "
        "(encoder.layer.0.attention.attention.query.weight), "
        f"bare or behind one of {', '.join(each for each in PREFIXES if each)}"
    )
