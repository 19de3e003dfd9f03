"""Convert checkpoints from one library's names to another's, with every tensor accounted for.

References:
    see :mod:`mixedae.weights.formats`, which knows the names.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mixedae.errors import WeightsError
from mixedae.files import replacing
from mixedae.weights.fingerprints import fingerprint
from mixedae.weights.formats import mmpretrain_to_timm, to_backbone

TARGETS = ("mmpretrain", "mmpretrain-backbone", "timm")
"""``mmpretrain``: a classifier or pre-training model of mmpretrain's or this project's, backbone under ``backbone.``;
``mmpretrain-backbone``: a bare ViT, as ``mmpretrain.VisionTransformer``; ``timm``: timm's ``vit_*`` and official MAE's
``models_vit``."""

CLASSIFIER = re.compile(r"^(?:head\.(?:fc\.|layers\.head\.)?|classifier\.)(weight|bias)$")
"""timm's ``head.weight``, mmpretrain's LinearClsHead and VisionTransformerClsHead, Hugging Face's."""


@dataclass(frozen=True)
class Conversion:
    """A checkpoint under other names.

    Attributes:
        format: of the source, see :func:`mixedae.weights.to_backbone`.
        tensors: the result.
        names: name in the source -> name in the result, for every tensor taken.
        dropped: names in the source of what was left out: decoders, projectors, other heads.
        fingerprint: :func:`mixedae.weights.fingerprint` of the backbone in mmpretrain's names, whatever the target.
        backbone: it, in these names.
    """

    format: str
    tensors: dict[str, Tensor]
    names: dict[str, str]
    dropped: tuple[str, ...]
    fingerprint: str
    backbone: Mapping[str, Tensor]

    def __str__(self) -> str:
        lines = [f"{self.format}: {len(self.tensors)} tensors taken, {len(self.dropped)} left out"]
        if self.dropped:
            parts = Counter(name.split(".")[0] for name in self.dropped)
            lines.append("  left out: " + ", ".join(f"{part} ({count})" for part, count in parts.items()))
        lines.append(f"  backbone's fingerprint {self.fingerprint}")
        return "\n".join(lines)


def convert(state_dict: Mapping[str, Tensor], target: str = "mmpretrain", prefix: str = "backbone.") -> Conversion:
    """Give a ViT's tensors the names of ``target``; a linear classifier comes along.

    Args:
        state_dict: of any format that :func:`mixedae.weights.to_backbone` knows.
        target: one of :data:`TARGETS`.
        prefix: where a whole model keeps its backbone.

    Returns:
        The tensors and what happened to each.

    Raises:
        WeightsError: an unknown format or target, or backbone tensors that the target has no place for (relative
            positions in timm's ViT).
    """
    if target not in TARGETS:
        raise WeightsError(f"target {target!r} found; expected one of {', '.join(TARGETS)}")
    backbone, format_name = to_backbone(state_dict, prefix)
    homeless = [name for name in backbone if target == "timm" and mmpretrain_to_timm(name) is None]
    if homeless:
        raise WeightsError(
            f"{len(homeless)} tensors have no place in timm's ViT ({', '.join(homeless[:3])}, ...); export to "
            "mmpretrain instead, or train without what they belong to"
        )
    tensors: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    for name, value in backbone.items():
        new = {"timm": mmpretrain_to_timm(name), "mmpretrain": prefix + name}.get(target) or name
        tensors[new] = value
        names.update(dict.fromkeys(backbone.sources[name], new))
    if target == "timm" and "reg_token" in tensors:  # timm's register tokens have positions, here zero
        embed, tokens = tensors["pos_embed"], tensors["reg_token"]
        tensors["pos_embed"] = torch.cat((embed[:, :1], torch.zeros_like(tokens), embed[:, 1:]), 1)
    for name, value in state_dict.items():
        if target != "mmpretrain-backbone" and (found := CLASSIFIER.match(name)):
            new = f"head.{found[1]}" if target == "timm" else f"head.fc.{found[1]}"
            tensors[new], names[name] = value, new
    dropped = tuple(name for name in state_dict if name not in names)
    return Conversion(format_name, tensors, names, dropped, fingerprint(backbone), backbone)


def write_state_dict(path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write weights, and nothing else, to ``.pth`` (under ``state_dict``) or ``.safetensors``, in one step.

    Args:
        path: the file, by its suffix; its folder is made.
        tensors: names and tensors.
        metadata: of safetensors' header.

    Raises:
        WeightsError: another suffix.
    """
    path = Path(path)
    if path.suffix not in (".pth", ".safetensors"):
        raise WeightsError(f"{path}: suffix {path.suffix!r} found; expected .pth or .safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        if path.suffix == ".safetensors":
            from safetensors.torch import save_file

            temporary.touch()
            mode = temporary.stat().st_mode
            save_file(own, temporary, metadata)
            temporary.chmod(mode)  # as the user's other files; safetensors' are private
        else:
            torch.save({"state_dict": own}, temporary)
