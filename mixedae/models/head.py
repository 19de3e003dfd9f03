"""The losses: reconstruction, Eq. (4), and homologous contrastive, Eq. (7), of MixedAE (arXiv 2303.17152)."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mixedae.errors import ConfigError
from mixedae.models.vit import init_linear_layers
from mixedae.ops import normalize_patches, same_source
from mixedae.registry import MODELS


class HomologousContrastiveLoss(nn.Module):
    """Eq. (7): features of patches of one image attract each other and repel those of the mixture's other images.

    A supervised contrastive loss (arXiv 2004.11362) within a mixed sample. Eq. (7) prints sums; means are taken here,
    over a query's positives and then over queries. Only so is the loss, at lambda = 0.1, the regulariser that section
    4.5 describes. It is computed in at least fp32, also under autocast.

    Args:
        temperature: tau, 0.25 in the paper.
        positives: ``separate``: each homologous patch is a positive of its own (the paper's choice); ``mean``: one
            positive, the average of the query's and all its homologous patches' normalised features (Table 3c).
    """

    def __init__(self, temperature: float = 0.25, positives: str = "separate") -> None:
        super().__init__()
        if positives not in ("separate", "mean"):
            raise ConfigError(f"positives={positives!r} found; expected 'separate' or 'mean'")
        if temperature <= 0:
            raise ConfigError(f"temperature={temperature} found; expected > 0")
        self.temperature, self.positives = temperature, positives

    def forward(self, features: Tensor, sources: Tensor) -> Tensor:
        """Evaluate Eq. (7).

        Args:
            features: (M, L, C), already projected, not normalised.
            sources: int64 (M, L).

        Returns:
            Scalar; 0 if no query has a positive.
        """
        with torch.autocast(device_type=features.device.type, enabled=False):
            z = F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=-1)
            own = torch.eye(z.shape[1], dtype=torch.bool, device=z.device)
            homologous = same_source(sources)
            positives = homologous & ~own
            count = positives.sum(-1)
            logits = (z @ z.transpose(1, 2)) / self.temperature
            log_denominator = logits.masked_fill(own, -torch.inf).logsumexp(dim=-1)
            if self.positives == "separate":
                agreement = (logits * positives).sum(-1) / count.clamp(min=1)
            else:
                centre = F.normalize(homologous.to(z.dtype) @ z, dim=-1)
                agreement = (z * centre).sum(-1) / self.temperature
            has_positive = count > 0
            loss = torch.where(has_positive, log_denominator - agreement, 0)
            return loss.sum() / has_positive.sum().clamp(min=1)


@MODELS.register_module()
class MixedAEPretrainHead(BaseModule):
    """Reconstruction and contrastive losses of MixedAE; with ``contrastive_weight=0`` also MAE's head.

    A part that is switched off is not built (DistributedDataParallel refuses parameters without gradient).

    Args:
        norm_pix: predict per-patch normalised pixels (MAE's pre-training recipe) instead of plain ones.
        embed_dims: D, width of the encoder; needed by the projector only.
        contrastive_weight: lambda of Eq. (8), 0.1 in the paper; 0 switches the loss off.
        projector_dims: output width of the linear projector, 128 in the paper.
        temperature: tau of Eq. (7).
        positives: see :class:`HomologousContrastiveLoss` (Table 3c).
        contrast: ``post-norm`` features, after the encoder's final LayerNorm (the paper's choice), or ``pre-norm``
            (Table 3b).

    Raises:
        ConfigError: a switch has an unknown value, or lambda is negative.
    """

    def __init__(
        self,
        norm_pix: bool = True,
        embed_dims: int = 768,
        contrastive_weight: float = 0.1,
        projector_dims: int = 128,
        temperature: float = 0.25,
        positives: str = "separate",
        contrast: str = "post-norm",
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if contrast not in ("post-norm", "pre-norm"):
            raise ConfigError(f"contrast={contrast!r} found; expected 'post-norm' or 'pre-norm'")
        if contrastive_weight < 0:
            raise ConfigError(f"contrastive_weight={contrastive_weight} found; expected >= 0")
        self.norm_pix, self.contrast, self.contrastive_weight = norm_pix, contrast, contrastive_weight
        if contrastive_weight:
            self.projector = nn.Linear(embed_dims, projector_dims)
            self.contrastive_loss = HomologousContrastiveLoss(temperature, positives)

    def init_weights(self) -> None:
        """Xavier for the projector, as for every linear layer."""
        super().init_weights()
        init_linear_layers(self)

    def targets(self, patches: Tensor) -> Tensor:
        """Reconstruction targets.

        Args:
            patches: (B, L, P*P*C) pixels.

        Returns:
            The same shape, in fp32.
        """
        return normalize_patches(patches) if self.norm_pix else patches.float()

    def reconstruction_loss(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Eq. (4) over the masked patches only: mean squared error over pixels and patches, in fp32.

        Args:
            predicted: (..., P*P*C) for the masked patches.
            target: the same shape.

        Returns:
            Scalar.
        """
        return F.mse_loss(predicted.float(), target.float())

    def homologous_contrastive(self, features: Tensor, sources: Tensor) -> Tensor:
        """Lambda * Eq. (7) on the linear projection of the encoder's patch features.

        Args:
            features: (M, 1 + L, D) or (M, L, D), after or before the final LayerNorm (``contrast``); [CLS] is left out.
            sources: int64 (M, L).

        Returns:
            Scalar.
        """
        # [CLS] is cut off after the projector: its output is narrow, and the cut copies what it keeps.
        projected = self.projector(features)[:, -sources.shape[1] :]
        return self.contrastive_weight * self.contrastive_loss(projected, sources)
