"""The decoder of MixedAE and of MAE: DEC of section 3.1, arXiv 2303.17152; MAE, arXiv 2111.06377, section 3."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.models import MAEPretrainDecoder
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import build_2d_sincos_position_embedding
from torch import Tensor, nn

from mixedae.errors import ConfigError
from mixedae.models.vit import init_linear_layers
from mixedae.ops import homologous_attention, take, unmix
from mixedae.registry import MODELS


@MODELS.register_module()
class MixedAEPretrainDecoder(MAEPretrainDecoder):
    """MAE's decoder (8 layers, 512 wide by default), in steps, so that it predicts only what the loss reads.

    Args:
        unmixed_cls: what takes the place of [CLS] in the G sequences that a mixed sample is unmixed into. ``copy``: the
            mixed sample's [CLS] in each of them (default, as MAE hands its [CLS] to the decoder). ``mask``: the [MASK]
            token, so that no summary of the other images reaches a reconstruction. The paper's main text does not say.
        **kwargs: see ``mmpretrain.MAEPretrainDecoder``.

    Raises:
        ConfigError: unknown ``unmixed_cls``, or no block: a masked position would see nothing of its image.
    """

    def __init__(self, unmixed_cls: str = "copy", **kwargs: Any) -> None:
        if unmixed_cls not in ("copy", "mask"):
            raise ConfigError(f"unmixed_cls={unmixed_cls!r} found; expected 'copy' or 'mask'")
        super().__init__(**kwargs)
        if not len(self.decoder_blocks):
            raise ConfigError(
                "decoder_depth=0 found; expected at least 1: a masked position sees its image by attention"
            )
        self.unmixed_cls = unmixed_cls
        side = math.isqrt(self.num_patches)
        self.grid = (side, side)

    def place(self, grid: Sequence[int]) -> None:
        """Take the encoder's grid of patches, whose sin-cos positions the decoder starts with.

        Args:
            grid: (rows, columns).

        Raises:
            ConfigError: it has another number of patches than the decoder.
        """
        rows, columns = grid
        if rows * columns != self.num_patches:
            raise ConfigError(
                f"neck.num_patches={self.num_patches} found; the backbone has {rows} x {columns} = {rows * columns} "
                "patches; make the two agree"
            )
        self.grid = (rows, columns)

    def init_weights(self) -> None:
        """Official MAE's initial weights: Xavier for every linear layer, sin-cos positions, N(0, 0.02) for [MASK]."""
        rows, columns = self.grid
        if rows == columns:
            super().init_weights()
        else:  # mmpretrain's takes a square for granted, and would give patches the positions of others
            BaseModule.init_weights(self)
            codes = build_2d_sincos_position_embedding((columns, rows), self.mask_token.shape[-1], cls_token=True)
            self.decoder_pos_embed.data.copy_(codes)
            nn.init.normal_(self.mask_token, std=0.02)
        init_linear_layers(self)

    def forward(self, tokens: Tensor, cls: Tensor | None = None, read: Tensor | None = None) -> Tensor:
        """Run the decoder's blocks on full sequences, the last one only for the positions that are read.

        Args:
            tokens: (B, L, D') visible features and [MASK] tokens at their places.
            cls: (B, 1, D') or None.
            read: int64 (B, Q), the positions wanted, in 0..L-1; default: all, in order.

        Returns:
            (B, Q, D') before the final LayerNorm, without [CLS].
        """
        x = tokens + self.decoder_pos_embed[:, 1:]
        if cls is not None:
            x = torch.cat((cls + self.decoder_pos_embed[:, :1], x), dim=1)
        *blocks, last = self.decoder_blocks
        for block in blocks:
            x = block(x)
        prefix = int(cls is not None)
        return last(x)[:, prefix:] if read is None else self._block_at(last, x, read + prefix)

    @staticmethod
    def _block_at(block: TransformerEncoderLayer, x: Tensor, positions: Tensor) -> Tensor:
        """Output of ``block`` at some positions: every token is a key, but only these are queries and pass the MLP.

        Args:
            block: one of the decoder's.
            x: (B, N, D').
            positions: int64 (B, Q), in 0..N-1.

        Returns:
            (B, Q, D'), equal to ``take(block(x), positions)``.
        """
        attn, normed = block.attn, block.ln1(x)
        width = attn.embed_dims
        weight_q, weight_kv = attn.qkv.weight.split((width, 2 * width))
        bias_q, bias_kv = (None, None) if attn.qkv.bias is None else attn.qkv.bias.split((width, 2 * width))
        q = F.linear(take(normed, positions), weight_q, bias_q).unflatten(-1, (attn.num_heads, -1)).transpose(1, 2)
        kv = F.linear(normed, weight_kv, bias_kv).unflatten(-1, (2, attn.num_heads, -1))
        k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)
        out = homologous_attention(q, k, v, None).transpose(1, 2).flatten(2)
        x = take(x, positions) + attn.out_drop(attn.gamma1(attn.proj_drop(attn.proj(out))))
        return block.ffn(block.ln2(x), identity=x)

    def decode_mixed(self, latent: Tensor, sources: Tensor, group_size: int, read: Tensor | None = None) -> Tensor:
        """Unmix, Eq. (3), and decode: y = DEC(unmixed z).

        Args:
            latent: (M, 1 + L, D) or (M, L, D) features of the mixed samples.
            sources: int64 (M, L).
            group_size: G.
            read: int64 (M*G, Q), the positions wanted of each unmixed sequence; default: all, in order.

        Returns:
            (M*G, Q, D'), before the final LayerNorm; row m*G+g is source g of mixed sample m.
        """
        has_cls = latent.shape[1] > sources.shape[1]
        x = self.decoder_embed(latent)
        tokens = unmix(x[:, int(has_cls) :], sources, self.mask_token, group_size)
        cls = None
        if has_cls:
            cls = x[:, :1] if self.unmixed_cls == "copy" else self.mask_token.to(x.dtype).expand(len(x), -1, -1)
            cls = cls.repeat_interleave(group_size, dim=0)
        return self(tokens, cls, read)

    def decode_kept(self, latent: Tensor, kept: Tensor, read: Tensor | None = None) -> Tensor:
        """Decode as MAE does: a [MASK] token at the position of each removed patch.

        Args:
            latent: (B, 1 + N, D) features of the kept patches, [CLS] first.
            kept: int64 (B, N), their positions.
            read: int64 (B, Q), the positions wanted; default: all, in order.

        Returns:
            (B, Q, D'), before the final LayerNorm.
        """
        x = self.decoder_embed(latent)
        tokens = self.mask_token.to(x.dtype).expand(len(x), self.num_patches, -1)
        tokens = tokens.scatter(1, kept[..., None].expand(-1, -1, x.shape[-1]), x[:, -kept.shape[1] :])
        return self(tokens, x[:, :1] if x.shape[1] > kept.shape[1] else None, read)

    def predict(self, features: Tensor) -> Tensor:
        """Pixels of the patches that ``features`` stand for.

        Args:
            features: (..., D').

        Returns:
            (..., P*P*C).
        """
        return self.decoder_pred(self.decoder_norm(features))
