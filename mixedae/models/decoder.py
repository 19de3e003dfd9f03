"""The decoder of MixedAE and of MAE: DEC of section 3.1, arXiv 2303.17152; MAE, arXiv 2111.06377, section 3."""

from typing import Any

import torch
from mmpretrain.models import MAEPretrainDecoder
from torch import Tensor

from mixedae.errors import ConfigError
from mixedae.models.vit import init_linear_layers
from mixedae.ops import unmix
from mixedae.registry import MODELS


@MODELS.register_module()
class MixedAEPretrainDecoder(MAEPretrainDecoder):
    """MAE's decoder (8 layers, 512 wide by default), cut into steps so that it predicts only what the loss reads.

    Args:
        unmixed_cls: what stands for [CLS] in the G sequences that a mixed sample is unmixed into: ``copy``, the mixed
            sample's [CLS] in each of them (default: MAE hands its [CLS] to the decoder), or ``mask``, the [MASK] token,
            so that no summary of the other images reaches a reconstruction. The paper's main text does not say.
        **kwargs: see ``mmpretrain.MAEPretrainDecoder``.
    """

    def __init__(self, unmixed_cls: str = "copy", **kwargs: Any) -> None:
        if unmixed_cls not in ("copy", "mask"):
            raise ConfigError(f"unmixed_cls={unmixed_cls!r} found; expected 'copy' or 'mask'")
        super().__init__(**kwargs)
        self.unmixed_cls = unmixed_cls

    def init_weights(self) -> None:
        """Official MAE's initial weights: Xavier for every linear layer, sin-cos positions, N(0, 0.02) for [MASK]."""
        super().init_weights()
        init_linear_layers(self)

    def forward(self, tokens: Tensor, cls: Tensor | None = None) -> Tensor:
        """Run the decoder's blocks on full sequences.

        Args:
            tokens: (B, L, D') visible features and [MASK] tokens at their places.
            cls: (B, 1, D') or None.

        Returns:
            (B, L, D') before the final LayerNorm, without [CLS].
        """
        x = tokens + self.decoder_pos_embed[:, 1:]
        if cls is not None:
            x = torch.cat((cls + self.decoder_pos_embed[:, :1], x), dim=1)
        for block in self.decoder_blocks:
            x = block(x)
        return x if cls is None else x[:, 1:]

    def decode_mixed(self, latent: Tensor, sources: Tensor, group_size: int) -> Tensor:
        """Unmix, Eq. (3), and decode: y = DEC(unmixed z).

        Args:
            latent: (M, 1 + L, D) or (M, L, D) features of the mixed samples.
            sources: int64 (M, L).
            group_size: G.

        Returns:
            (M, G, L, D'), before the final LayerNorm.
        """
        has_cls = latent.shape[1] > sources.shape[1]
        x = self.decoder_embed(latent)
        tokens = unmix(x[:, int(has_cls) :], sources, self.mask_token, group_size)
        cls = None
        if has_cls:
            cls = x[:, :1] if self.unmixed_cls == "copy" else self.mask_token.to(x.dtype).expand(len(x), -1, -1)
            cls = cls.repeat_interleave(group_size, dim=0)
        return self(tokens, cls).unflatten(0, (len(latent), group_size))

    def decode_kept(self, latent: Tensor, kept: Tensor) -> Tensor:
        """MAE's decoding: [MASK] tokens where a patch was removed.

        Args:
            latent: (B, 1 + N, D) features of the kept patches, [CLS] first.
            kept: int64 (B, N), their positions.

        Returns:
            (B, L, D'), before the final LayerNorm.
        """
        x = self.decoder_embed(latent)
        tokens = self.mask_token.to(x.dtype).expand(len(x), self.num_patches, -1)
        tokens = tokens.scatter(1, kept[..., None].expand(-1, -1, x.shape[-1]), x[:, -kept.shape[1] :])
        return self(tokens, x[:, :1] if x.shape[1] > kept.shape[1] else None)

    def predict(self, features: Tensor) -> Tensor:
        """Pixels of the patches that ``features`` stand for.

        Args:
            features: (..., D').

        Returns:
            (..., P*P*C).
        """
        return self.decoder_pred(self.decoder_norm(features))
