"""The transfer ViT as an encoder that sees [MASK] tokens: SimMIM and iBOT."""

from typing import Any

import torch
from torch import Tensor, nn

from mixedae.models.vit import MixedAEViT
from mixedae.registry import MODELS


@MODELS.register_module()
class MaskedViT(MixedAEViT):
    """:class:`MixedAEViT` with a learnt token in the place of masked patches, before positions are added.

    References:
        SimMIM, arXiv 2111.09886, section 3.2; iBOT, arXiv 2111.07832, section 3.1. ``mask_token`` is zero at the start
        of iBOT and drawn from N(0, 0.02) in SimMIM's and BEiT's codes.

    Args:
        mask_std: of the token's initial values.
        **kwargs: see :class:`MixedAEViT`.
    """

    def __init__(self, mask_std: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_std = mask_std
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))

    def init_as_mae(self) -> None:
        """The ViT's initial weights, then the token's."""
        super().init_as_mae()
        nn.init.normal_(self.mask_token, std=self.mask_std) if self.mask_std else nn.init.zeros_(self.mask_token)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """Features; see :meth:`MixedAEViT.forward`.

        Args:
            x: images (B, 3, H, W).
            mask: (B, H/P, W/P) or (B, N), nonzero where a patch is masked; None: no patch.
        """
        tokens, grid = self.patch_embed(x)
        if mask is not None:
            hidden = mask.flatten(1).bool()[..., None]
            tokens = torch.where(hidden, self.mask_token.to(tokens.dtype), tokens)
        return self.encode_tokens(tokens, grid)
