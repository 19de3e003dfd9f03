"""The Vision Transformer of every transfer, and the same parameters as an encoder for pre-training.

References:
    MixedAE, arXiv 2303.17152, sections 3.1 and 3.2; MAE, arXiv 2111.06377, section 3 and appendix A.1.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmpretrain.models import VisionTransformer
from mmpretrain.models.utils import MultiheadAttention, build_2d_sincos_position_embedding
from torch import Tensor, nn

from mixedae.errors import ConfigError
from mixedae.ops import homologous_attention, same_source
from mixedae.registry import MODELS, WEIGHT_INITIALIZERS

PRETRAINED_TYPES = ("Pretrained", "mixedae.PretrainedViT", "PretrainedViT")


def init_linear_layers(module: nn.Module) -> None:
    """MAE's initialisation of linear layers: Xavier uniform weights, zero biases (every Linear, attention's included).

    mmpretrain leaves attention's and the decoder's projections at PyTorch's default; both methods and the random
    baseline here start as official MAE does.
    """
    for m in module.modules():
        if isinstance(m, nn.Linear):
            nn.init.xavier_uniform_(m.weight)
            if m.bias is not None:
                nn.init.zeros_(m.bias)


@MODELS.register_module()
class MixedAEViT(VisionTransformer):
    """Plain ViT: the backbone of classification, segmentation and detection.

    Parameter names, global attention and learnable position embeddings are mmpretrain's, so a checkpoint moves freely
    between the two. Differences: it starts as MAE does (Xavier linear layers, sin-cos positions), and pre-trained
    weights are applied last and strictly, whatever the parents' initialisation does before.

    Args:
        out_indices: layers whose output is returned; any sequence of ints.
        init_cfg: ``dict(type='mixedae.PretrainedViT', checkpoint=...)`` or plain ``Pretrained``, made strict too.
        **kwargs: see ``mmpretrain.VisionTransformer``.

    Raises:
        ConfigError: another initialiser, which MAE's initial weights would overwrite.
    """

    def __init__(
        self, out_indices: Sequence[int] | int = -1, init_cfg: dict | list[dict] | None = None, **kwargs: Any
    ) -> None:
        cfgs = [init_cfg] if isinstance(init_cfg, dict) else list(init_cfg or [])
        if others := [c["type"] for c in cfgs if c["type"] not in PRETRAINED_TYPES]:
            raise ConfigError(
                f"init_cfg of type {others[0]!r} found; this ViT always starts from MAE's initial weights, so only "
                f"mixedae.PretrainedViT (or Pretrained) has an effect"
            )
        self.pretrained_cfgs = cfgs
        if isinstance(out_indices, Sequence):
            out_indices = list(out_indices)  # mmpretrain assigns to it
        super().__init__(out_indices=out_indices, **kwargs)
        for module in self.modules():
            if isinstance(module, DropPath):  # mmpretrain gives NumPy's numbers, at each of which torch.compile stops
                module.drop_prob = float(module.drop_prob)

    def init_weights(self) -> None:
        """Initialise as MAE does, then apply the pre-trained weights: nothing may overwrite them afterwards."""
        super().init_weights()
        self.init_as_mae()
        for cfg in self.pretrained_cfgs:
            WEIGHT_INITIALIZERS.build({**cfg, "type": "mixedae.PretrainedViT"})(self)

    def init_as_mae(self) -> None:
        """Official MAE's initial weights: the random baseline is a model that was pre-trained for zero epochs."""
        init_linear_layers(self.layers)
        projection = self.patch_embed.projection
        nn.init.xavier_uniform_(projection.weight.data.flatten(1))
        if projection.bias is not None:
            nn.init.zeros_(projection.bias)
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=0.02)
        rows, cols = self.patch_resolution  # mmpretrain's function counts column by column: swapped, it is row by row
        codes = build_2d_sincos_position_embedding((cols, rows), self.embed_dims, cls_token=self.cls_token is not None)
        self.pos_embed.data.copy_(codes)


@MODELS.register_module()
class MixedAEPretrainViT(MixedAEViT):
    """The encoder of MixedAE and of MAE: patches in, one token a patch out; fixed sin-cos positions.

    The parameters are :class:`MixedAEViT`'s. Called with images it is a plain ViT; :meth:`encode` is the pre-training
    path, in which every layer but the first ``num_global_layers`` uses homologous attention, Eq. (6).

    Args:
        attention: ``homologous`` (the paper), ``plain`` (MAE, and the naive mixing baseline of section 3.1), or
            ``oracle``: in every layer a patch sees exactly its own image's patches, known from the sources (a bound
            that tells what recognition costs; the masked attention of MixMIM).
        topk_ratio: K / L, the share of keys that a query keeps; 0.25 in the paper (section 4.1), equal to r.
        num_global_layers: first layers that keep plain attention; 1 in the paper (Table 3e).
        cls_in_pool: whether patches may choose the [CLS] key. The paper replaces the whole self-attention operation and
            does not say; default True, the literal reading of Eq. (6): K of L + 1 keys.
        cls_query: how [CLS] attends in homologous layers: ``topk`` (default, Eq. (6) literally) or ``plain``. Not
            stated in the paper either.
        **kwargs: see :class:`MixedAEViT`; without ``drop_rate``, ``pre_norm``, ``patch_cfg`` and ``layer_cfgs``, which
            pre-training does not know.

    Raises:
        ConfigError: one of those four, unknown ``attention`` or ``cls_query``, K < 1, or more plain layers than layers.
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
        if unknown := {"drop_rate", "pre_norm", "patch_cfg", "layer_cfgs"} & set(kwargs):
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
            (B, 1 + N, D), [CLS] first (without it where the model has none).
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
        """One self-attention block, with Eq. (6) in the place of plain attention where ``topk`` is given."""
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
        """Who sees whom, bool (B, 1, N, N): patches their own image's; [CLS] all and, if in the pool, seen by all."""
        if sources is None:
            raise ConfigError("oracle attention needs the sources; call encode(..., sources=sources)")
        prefix = self.num_extra_tokens
        allowed = F.pad(same_source(sources), (prefix, 0, prefix, 0), value=True)
        if not self.cls_in_pool:
            allowed[:, prefix:, :prefix] = False
        return allowed[:, None]
