"""MixedAE, the algorithm: mix, encode, unmix, decode, and the sum of two losses, Eq. (8) of arXiv 2303.17152."""

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from torch import Tensor, nn

from mixedae.errors import ConfigError
from mixedae.methods.checks import check_crops, check_groups
from mixedae.models.vit import patch_size
from mixedae.ops import masked_positions, mix, num_groups, patchify, sample_sources
from mixedae.ops.mixing import MODES, share_counts
from mixedae.registry import MODELS


def sincos_segments(group_size: int, embed_dims: int) -> Tensor:
    """Fixed segment embeddings: the sin-cos code of the image's index in its group.

    Args:
        group_size: G.
        embed_dims: D, even.

    Returns:
        (G, D).
    """
    frequency = 10000 ** (-torch.arange(embed_dims // 2, dtype=torch.float64) / (embed_dims // 2))
    angle = torch.arange(group_size, dtype=torch.float64)[:, None] * frequency
    return torch.cat((angle.sin(), angle.cos()), dim=1).float()


@MODELS.register_module()
class MixedAE(BaseSelfSupervisor):
    """Mixed Autoencoder (CVPR 2023).

    Args:
        backbone: a ``mixedae.MixedAEPretrainViT``.
        neck: a ``mixedae.MixedAEPretrainDecoder``; None (with ``reconstruction=False``) for the contrastive loss alone.
        head: a ``mixedae.MixedAEPretrainHead``.
        group_size: G = 1/r, 4 in the paper (section 4.1); at least 2.
        mode: ``compose`` (default): one mixed sample per group, Br per batch; ``full``: G per group, B per batch
            (Fig. 4).
        segment_embedding: ``learnable`` (default; section 3.2 follows BERT, whose segments are learnt), ``fixed``
            (sin-cos of the index) or ``none``.
        reconstruction: False leaves Eq. (4) out, an ablation (section 4.5: training then fails).
        shares: None (default): every image gives the same share r, Eq. (2). Else G shares with sum 1,
            assigned at random to the images of a group.
        **kwargs: see ``mmpretrain.BaseSelfSupervisor``.

    Raises:
        ConfigError: unknown switch value, impossible shares, or nothing to train on.
        GroupSizeError: G < 2; at run time, a batch that G does not divide.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict | None = None,
        head: dict | None = None,
        group_size: int = 4,
        mode: str = "compose",
        segment_embedding: str = "learnable",
        reconstruction: bool = True,
        shares: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone=backbone, neck=neck, head=head, **kwargs)
        num_groups(group_size, group_size)  # refuses G < 2 here, not at the first batch
        if shares is not None:
            share_counts(self.backbone.num_patches, group_size, shares)
        if mode not in MODES:
            raise ConfigError(f"mode={mode!r} found; expected one of {MODES}")
        if reconstruction != (self.neck is not None):
            raise ConfigError("reconstruction=True needs a neck (the decoder), reconstruction=False needs neck=None")
        if self.neck is not None:
            self.neck.place(self.backbone.patch_resolution)
        if not reconstruction and not self.head.contrastive_weight:
            raise ConfigError("no loss is left: reconstruction=False and contrastive_weight=0")
        self.group_size, self.mode, self.shares, self.reconstruction = group_size, mode, shares, reconstruction
        self._freeze_what_no_loss_reads()
        self.segment_embed: Tensor | None
        if segment_embedding == "learnable":
            self.segment_embed = nn.Parameter(torch.zeros(group_size, self.backbone.embed_dims))
        elif segment_embedding == "fixed":
            self.register_buffer(
                "segment_embed", sincos_segments(group_size, self.backbone.embed_dims), persistent=False
            )
        elif segment_embedding == "none":
            self.segment_embed = None
        else:
            raise ConfigError(f"segment_embedding={segment_embedding!r} found; expected learnable, fixed or none")

    def init_weights(self) -> None:
        """Initialise the parts, then the segment embeddings from N(0, 0.02), as MAE does with [CLS] and [MASK]."""
        super().init_weights()
        if isinstance(self.segment_embed, nn.Parameter):
            nn.init.normal_(self.segment_embed, std=0.02)

    def _freeze_what_no_loss_reads(self) -> None:
        """Freeze the parameters that get no gradient under some switches: DistributedDataParallel refuses them."""
        encoder = self.backbone
        if not self.reconstruction and self.head.contrast == "pre-norm":
            encoder.ln1.requires_grad_(False)
        read_by_decoder = self.reconstruction and self.neck.unmixed_cls == "copy"
        homologous_only = encoder.attention == "homologous" and encoder.num_global_layers == 0
        seen_by_patches = encoder.cls_in_pool or not (homologous_only or encoder.attention == "oracle")
        if encoder.cls_token is not None and not read_by_decoder and not seen_by_patches:
            encoder.cls_token.requires_grad = False

    def encode_mixed(self, patches: Tensor, sources: Tensor) -> Tensor:
        """Mix, Eq. (1), add segments, and encode.

        Args:
            patches: (B, L, P*P*C).
            sources: int64 (M, L).

        Returns:
            (M, 1 + L, D), before the final LayerNorm.
        """
        mixed = mix(patches, sources, self.group_size)
        segments = None if self.segment_embed is None else self.segment_embed[sources]
        return self.backbone.encode(mixed, segments=segments, sources=sources)

    def reconstruct(self, latent: Tensor, sources: Tensor) -> Tensor:
        """Predict every patch of every unmixed image (for pictures; the loss predicts the masked ones only).

        Args:
            latent: (M, 1 + L, D), after the final LayerNorm.
            sources: int64 (M, L).

        Returns:
            (M*G, L, P*P*C).
        """
        return self.neck.predict(self.neck.decode_mixed(latent, sources, self.group_size))

    @classmethod
    def check_config(cls, model: Any, loader: Any) -> None:
        """See :func:`mixedae.methods.checks.check_crops` and :func:`mixedae.methods.checks.check_groups`.

        Args:
            model: of the config.
            loader: ``train_dataloader``.
        """
        check_crops(model, loader)
        check_groups(model, loader)

    def loss(self, inputs: Tensor, data_samples: list | None = None, **kwargs: Any) -> dict[str, Tensor]:
        """Both terms of Eq. (8).

        Args:
            inputs: (B, C, H, W) normalised images, B a multiple of G.
            data_samples: unused; labels play no part.

        Returns:
            ``loss_recon``, Eq. (4), and ``loss_homocon``, lambda * Eq. (7); a term that is switched off is absent.
            There is no total: mmengine sums all entries whose name begins with ``loss``.
        """
        patches = patchify(inputs, patch_size(self.backbone))
        groups = num_groups(len(patches), self.group_size)
        sources = sample_sources(
            groups, patches.shape[1], self.group_size, self.mode, device=inputs.device, shares=self.shares
        )
        hidden = self.encode_mixed(patches, sources)
        latent = self.backbone.ln1(hidden)
        losses = {}
        if self.reconstruction:
            losses["loss_recon"] = self._reconstruction_loss(latent, patches, sources)
        if self.head.contrastive_weight:
            features = latent if self.head.contrast == "post-norm" else hidden
            losses["loss_homocon"] = self.head.homologous_contrastive(features, sources)
        return losses

    def _reconstruction_loss(self, latent: Tensor, patches: Tensor, sources: Tensor) -> Tensor:
        """Eq. (4): mean squared error between x and y = DEC(unmixed z), over the masked patches, 1 - 1(M = i)."""
        masked = masked_positions(sources, len(patches), self.group_size, self.shares)
        decoded = self.neck.decode_mixed(latent, sources, self.group_size, masked.read)
        predicted = self.neck.predict(masked.of_decoded(decoded))
        return self.head.reconstruction_loss(predicted, masked.of_images(self.head.targets(patches)))
