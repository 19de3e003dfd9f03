"""ResNets: torchvision's names are mmpretrain's; the prefixes are those of the published files.

References:
    torchvision ``models/resnet.py``; linusericsson/ssl-transfer ``download_and_prepare_models.py``.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from mixedae.errors import WeightsError
from mixedae.weights.formats.base import Found

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


def to_resnet(state_dict: Mapping[str, Tensor], prefix: str = "backbone.") -> tuple[Found, str]:
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
    found = Found(backbone)
    found.sources = {name: (at + name,) for name in backbone}
    return found, f"resnet ({at}*)" if at else "resnet"
