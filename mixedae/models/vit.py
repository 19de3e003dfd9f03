"""The Vision Transformer of every transfer.

References:
    MAE, arXiv 2111.06377, appendix A.1; MixedAE, arXiv 2303.17152, section 4.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn.bricks import DropPath
from mmpretrain.models import VisionTransformer
from mmpretrain.models.utils import build_2d_sincos_position_embedding, resize_pos_embed
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mixedae.errors import ConfigError
from mixedae.models.freezing import freeze_below
from mixedae.models.spatial_attention import RELATIVE_POSITIONS, Grid
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


def patch_size(vit: Any) -> int:
    """Side of a patch in pixels, of mmpretrain's VisionTransformer and what is derived from it."""
    side: int = vit.patch_embed.projection.kernel_size[0]
    return side


@MODELS.register_module()
class MixedAEViT(VisionTransformer):
    """Plain ViT: the backbone of classification, segmentation and detection.

    Parameter names, global attention and learnable position embeddings are mmpretrain's, so a checkpoint moves freely
    between the two. Differences: it starts as MAE does (Xavier linear layers, sin-cos positions), and pre-trained
    weights are applied last and strictly, whatever the parents' initialisation does before.

    What the dense recipes add is off by default: relative positions, windows, LayerScale
    (``layer_scale_init_value``, mmpretrain's). Each starts such that loaded features do not change, except windows and
    a LayerScale other than 1. Images may have any size and aspect ratio: sides are padded to whole patches.

    Args:
        out_indices: layers whose output is returned; any sequence of ints.
        relative_position: ``none``; ``table``, BEiT's bias (the ADE20K recipe of MAE); ``decomposed``, ViTDet's.
        window_size: side, in patches, of the windows that attention is confined to (ViTDet: 14); 0 is global.
        global_layers: layers that stay global if there are windows (ViTDet, ViT-B: 2, 5, 8, 11).
        relative_grid: rows and columns of patches that global layers' relative positions are built for; default: those
            of ``img_size``. Other inputs interpolate.
        trainable_blocks: partial fine-tuning (MAE, section 4.3): only this many last blocks and what follows them are
            trained; 0.5 is the last block's MLP, 0 freezes the final norm too (linear probing). Default: train all.
        registers: number R of register tokens (DINOv2 with registers): further tokens behind [CLS] that attend and are
            attended to, have no position, and are left out of every output.
        fixed: beginnings of names of parameters that keep their initial values (MoCo v3: ``patch_embed.``,
            ``pos_embed``).
        with_cp: activation checkpointing: each block is computed again in the backward pass, which saves memory.
        init_cfg: ``dict(type='mixedae.PretrainedViT', checkpoint=...)`` or plain ``Pretrained``, made strict too.
        **kwargs: see ``mmpretrain.VisionTransformer``.

    Raises:
        ConfigError: another initialiser, which MAE's initial weights would overwrite; an unknown kind of relative
            position; windows or decomposed positions with a [CLS] token; register tokens with any of these; a number of
            blocks that the model lacks.
    """

    def __init__(
        self,
        out_indices: Sequence[int] | int = -1,
        relative_position: str = "none",
        window_size: int = 0,
        global_layers: Sequence[int] = (),
        relative_grid: Sequence[int] | None = None,
        trainable_blocks: float | None = None,
        registers: int = 0,
        fixed: Sequence[str] = (),
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
        **kwargs: Any,
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
            if isinstance(module, DropPath):  # mmpretrain's NumPy numbers break torch.compile's graph
                module.drop_prob = float(module.drop_prob)
        self.with_cp, self.registers = with_cp, registers
        if registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, registers, self.embed_dims))
        self.is_spatial = relative_position != "none" or window_size > 0
        if self.is_spatial:
            grid = self.patch_resolution if relative_grid is None else (relative_grid[0], relative_grid[1])
            self._place_attention(relative_position, window_size, global_layers, grid)
        for name, parameter in self.named_parameters():
            if name.startswith(tuple(fixed)):
                parameter.requires_grad = False
        self.frozen = () if trainable_blocks is None else freeze_below(self, trainable_blocks)

    def _place_attention(self, kind: str, window_size: int, global_layers: Sequence[int], grid: Grid) -> None:
        """Replace every layer's attention by one with relative positions or windows, keeping the projections."""
        if kind not in RELATIVE_POSITIONS:
            raise ConfigError(f"relative_position={kind!r} found; expected one of {', '.join(RELATIVE_POSITIONS)}")
        if unknown := [i for i in global_layers if not 0 <= i < self.num_layers]:
            raise ConfigError(f"global_layers names layer {unknown[0]}; the model has 0 to {self.num_layers - 1}")
        if self.registers:
            raise ConfigError(
                f"registers={self.registers} and relative_position={kind!r}, window_size={window_size} found; relative "
                "positions and windows have no place for register tokens; take plain attention, or registers=0"
            )
        if self.num_extra_tokens and (window_size or kind == "decomposed"):
            raise ConfigError(
                "windows and decomposed relative positions have no place for a [CLS] token; set with_cls_token=False"
            )
        for i, layer in enumerate(self.layers):
            window = 0 if i in global_layers else window_size
            layer.attn = RELATIVE_POSITIONS[kind](layer.attn, grid, window, self.num_extra_tokens)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features of the layers in ``out_indices``; mmpretrain's forward, plus what the arguments add.

        Args:
            x: images (B, 3, H, W).

        Returns:
            One tensor per layer, by ``out_type``: featmap (B, D, H/P, W/P), raw (B, 1 + N, D), cls_token and
            avg_featmap (B, D).
        """
        return self.encode_tokens(*self.patch_embed(x))

    def encode_tokens(self, x: Tensor, grid: Grid) -> tuple[Tensor, ...]:
        """Everything behind the patch embedding.

        Args:
            x: embedded patches (B, N, D).
            grid: rows and columns of the patches.

        Returns:
            As :meth:`forward`.
        """
        if self.cls_token is not None:
            x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), dim=1)
        x = x + resize_pos_embed(
            self.pos_embed, self.patch_resolution, grid, self.interpolate_mode, self.num_extra_tokens
        )
        if self.registers:
            parts = x.split((self.num_extra_tokens, x.shape[1] - self.num_extra_tokens), dim=1)
            x = torch.cat((parts[0], self.register_tokens.expand(len(x), -1, -1), parts[1]), dim=1)
        x = self.pre_norm(self.drop_after_pos(x))
        outs = []
        for i, layer in enumerate(self.layers):
            if self.with_cp and x.requires_grad:
                x = checkpoint(self._block, layer, x, grid, use_reentrant=False)
            else:
                x = self._block(layer, x, grid)
            if i in self.out_indices:
                is_last = i == self.num_layers - 1
                out = self.ln1(x) if is_last and self.final_norm else x
                if self.registers:
                    first, last = self.num_extra_tokens, self.num_extra_tokens + self.registers
                    out = torch.cat((out[:, :first], out[:, last:]), dim=1)
                outs.append(self._format_output(out, grid))
        return tuple(outs)

    def _block(self, layer: Any, x: Tensor, grid: Grid) -> Tensor:
        """One layer: attention and MLP, each behind a norm and with a residual."""
        normed = layer.ln1(x)
        x = x + (layer.attn(normed, grid) if self.is_spatial else layer.attn(normed))
        return layer.ffn(layer.ln2(x), identity=x)

    def get_layer_depth(self, param_name: str, prefix: str = "") -> tuple[int, int]:
        """mmpretrain's, with register tokens and the norm before the first layer at depth 0, as [CLS] is.

        Args:
            param_name: of a parameter.
            prefix: of the backbone's parameters.

        Returns:
            The depth, and the number of depths.
        """
        if param_name.startswith((f"{prefix}register_tokens", f"{prefix}pre_norm.")):
            return 0, self.num_layers + 2
        return super().get_layer_depth(param_name, prefix)

    def train(self, mode: bool = True) -> "MixedAEViT":
        """Set training mode; frozen parts stay in evaluation mode, without stochastic depth.

        Args:
            mode: training or evaluation.

        Returns:
            The model; mmpretrain returns None.
        """
        super().train(mode)
        for module in getattr(self, "frozen", ()):
            module.eval()
        return self

    def init_weights(self) -> None:
        """Initialise as MAE does, then apply the pre-trained weights: nothing may overwrite them afterwards."""
        super().init_weights()
        self.init_as_mae()
        for cfg in self.pretrained_cfgs:
            WEIGHT_INITIALIZERS.build({**cfg, "type": "mixedae.PretrainedViT"})(self)

    def init_as_mae(self) -> None:
        """Official MAE's initial weights: the random baseline is a model that was pre-trained for zero epochs.

        The fixed positions are official MAE's with the two halves of the channels swapped: rows are coded first.
        """
        init_linear_layers(self.layers)
        projection = self.patch_embed.projection
        nn.init.xavier_uniform_(projection.weight.data.flatten(1))
        if projection.bias is not None:  # PyTorch's default for a convolution, which official MAE leaves as it is
            bound = projection.weight[0].numel() ** -0.5
            nn.init.uniform_(projection.bias, -bound, bound)
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=0.02)
        if self.registers:
            nn.init.normal_(self.register_tokens, std=0.02)
        rows, cols = self.patch_resolution  # mmpretrain's function counts column by column: swapped, it is row by row
        codes = build_2d_sincos_position_embedding((cols, rows), self.embed_dims, cls_token=self.cls_token is not None)
        self.pos_embed.data.copy_(codes)
