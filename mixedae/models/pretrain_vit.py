"""The transfer ViT's parameters as an encoder for pre-training: mixed or kept patches, homologous attention.

References:
    MixedAE, arXiv 2303.17152, sections 3.1 and 3.2; MAE, arXiv 2111.06377, section 3.
"""

from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor

from mixedae.errors import ConfigError
from mixedae.models.vit import MixedAEViT
from mixedae.ops import homologous_attention, same_source
from mixedae.registry import MODELS

TRANSFER_ONLY = (
    "relative_position", "relative_grid", "window_size", "global_layers", "trainable_blocks", "registers", "with_cp"
)  # fmt: skip


@MODELS.register_module()
class MixedAEPretrainViT(MixedAEViT):
    """The encoder of MixedAE and of MAE: patches in, one token per patch out; fixed sin-cos positions.

    The parameters are :class:`MixedAEViT`'s. Called with images it is a plain ViT; :meth:`encode` is the pre-training
    path, in which every layer but the first ``num_global_layers`` uses homologous attention, Eq. (6).

    Args:
        attention: ``homologous`` (the paper), ``plain`` (MAE, and the naive mixing baseline of section 3.1), or
            ``oracle``: in every layer a patch sees exactly the patches of its own image, known from the sources (as the
            masked attention of MixMIM). It shows what imperfect recognition costs.
        topk_ratio: K / L, the share of keys that a query keeps; 0.25 in the paper (section 4.1), equal to r.
        num_global_layers: first layers that keep plain attention; 1 in the paper (Table 3e).
        cls_in_pool: whether patches may choose the [CLS] key. The paper replaces the whole self-attention operation and
            does not say; default True, the literal reading of Eq. (6): K of L + 1 keys.
        cls_query: how [CLS] attends in homologous layers: ``topk`` (default, Eq. (6) literally) or ``plain``. The
            paper does not say this either.
        **kwargs: see :class:`MixedAEViT`; without ``drop_rate``, ``pre_norm``, ``patch_cfg``, ``layer_cfgs`` and
            the transfers' own arguments, which pre-training does not know.

    Raises:
        ConfigError: one of these, unknown ``attention`` or ``cls_query``, K < 1, or more plain layers than layers.
    """

    ATTENTION = ("homologous", "plain", "oracle")

    def __init__(
        self,
        attention: str = "homologous",
        topk_ratio: float = 0.25,
        num_global_layers: int = 1,
        cls_in_pool: bool = True,
        cls_query: str = "topk",
        **kwargs: Any,
    ) -> None:
        if unknown := {"drop_rate", "pre_norm", "patch_cfg", "layer_cfgs", *TRANSFER_ONLY} & set(kwargs):
            raise ConfigError(f"{', '.join(sorted(unknown))} found; the pre-training encoder has no such option")
        kwargs.setdefault("out_type", "raw")
        super().__init__(**kwargs)
        if attention not in self.ATTENTION:
            raise ConfigError(f"attention={attention!r} found; expected one of {self.ATTENTION}")
        if cls_query not in ("topk", "plain"):
            raise ConfigError(f"cls_query={cls_query!r} found; expected 'topk' or 'plain'")
        if not 0 <= num_global_layers <= self.num_layers:
            raise ConfigError(f"num_global_layers={num_global_layers} found; the model has {self.num_layers} layers")
        self.num_patches = self.patch_resolution[0] * self.patch_resolution[1]
        self.topk = round(topk_ratio * self.num_patches)
        if self.topk < 1:
            raise ConfigError(f"topk_ratio={topk_ratio} keeps no key of {self.num_patches}; expected K >= 1")
        self.attention, self.num_global_layers = attention, num_global_layers
        self.cls_in_pool, self.cls_query = cls_in_pool, cls_query
        self.pos_embed.requires_grad = False

    def embed(self, patches: Tensor) -> Tensor:
        """Linear patch embedding; the same weights as the convolution's, applied to patches.

        Args:
            patches: (B, N, P*P*C), order row, column, channel.

        Returns:
            (B, N, D).
        """
        projection = self.patch_embed.projection
        return F.linear(patches, projection.weight.permute(0, 2, 3, 1).flatten(1), projection.bias)

    def encode(
        self,
        patches: Tensor,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        sources: Tensor | None = None,
    ) -> Tensor:
        """Encode patch sequences, z = ENC(x) of section 3.1, up to but without the final LayerNorm (``ln1``).

        Args:
            patches: (B, N, P*P*C); mixed samples (N = L) or the kept patches of MAE.
            positions: int64 (B, N), the place of each patch in the image; default 0..L-1.
            segments: (B, N, D) segment embeddings, added to patches and positions (section 3.2).
            sources: int64 (B, N); needed by oracle attention only.

        Returns:
            (B, 1 + N, D), [CLS] first (without it if the model has none).
        """
        position_embed = self.pos_embed[0, self.num_extra_tokens :]
        x = self.embed(patches)
        x = x + (position_embed if positions is None else position_embed[positions])
        if segments is not None:
            x = x + segments
        if self.cls_token is not None:
            cls = self.cls_token + self.pos_embed[:, :1]
            x = torch.cat((cls.expand(len(x), -1, -1), x), dim=1)
        allowed = self._oracle_mask(sources) if self.attention == "oracle" else None
        for i, layer in enumerate(self.layers):
            topk = self.topk if self.attention == "homologous" and i >= self.num_global_layers else None
            x = x + self._attend(layer.attn, layer.ln1(x), topk, allowed)
            x = layer.ffn(layer.ln2(x), identity=x)
        return x

    def _attend(self, attn: MultiheadAttention, x: Tensor, topk: int | None, allowed: Tensor | None) -> Tensor:
        """One self-attention block: Eq. (6) if ``topk`` is given, else plain attention."""
        q, k, v = self.project(attn, x)
        if topk is None:
            out = homologous_attention(q, k, v, None, allowed=allowed)
        else:
            prefix = self.num_extra_tokens
            out = homologous_attention(q, k, v, topk, num_prefix=0 if self.cls_in_pool else prefix)
            if self.cls_query == "plain" and prefix:
                cls = homologous_attention(q[:, :, :prefix], k, v, None)
                out = torch.cat((cls, out[:, :, prefix:]), dim=2)
        out = attn.proj(out.transpose(1, 2).flatten(2))
        return attn.out_drop(attn.gamma1(out))

    @staticmethod
    def project(attn: MultiheadAttention, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of one attention block.

        Args:
            attn: mmpretrain's attention module.
            x: (B, N, D), already normalised.

        Returns:
            Three tensors (B, H, N, D / H).
        """
        qkv = attn.qkv(x).unflatten(-1, (3, attn.num_heads, attn.head_dims))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def _oracle_mask(self, sources: Tensor | None) -> Tensor:
        """Which keys each query may attend to, bool (B, 1, N, N).

        A patch attends to the patches of its own image, and to [CLS] if that is in the pool. [CLS] attends to all.
        """
        if sources is None:
            raise ConfigError("oracle attention needs the sources; call encode(..., sources=sources)")
        prefix = self.num_extra_tokens
        allowed = F.pad(same_source(sources), (prefix, 0, prefix, 0), value=True)
        if not self.cls_in_pool:
            allowed[:, prefix:, :prefix] = False
        return allowed[:, None]
