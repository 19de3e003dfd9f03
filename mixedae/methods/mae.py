"""MAE (arXiv 2111.06377) on MixedAE's encoder, decoder and head: the method that MixedAE is compared with."""

from typing import Any

from mmpretrain.models import MAE as MMPretrainMAE
from torch import Tensor

from mixedae.methods.checks import check_crops
from mixedae.models.vit import patch_size
from mixedae.ops import draw_mask, patchify, take
from mixedae.registry import MODELS


@MODELS.register_module()
class MAE(MMPretrainMAE):
    """Masked Autoencoder: mmpretrain's loss and gradients, official MAE's initial weights, MixedAE's speed.

    Unlike mmpretrain's it computes only what is needed: removed patches are never embedded and visible ones never
    predicted. The state dict has mmpretrain's names.

    Args:
        backbone: a ``mixedae.MixedAEPretrainViT`` with ``attention='plain'``.
        neck: a ``mixedae.MixedAEPretrainDecoder``.
        head: a ``mixedae.MixedAEPretrainHead`` with ``contrastive_weight=0``.
        mask_ratio: share of removed patches, 0.75 in the paper.
        masking: ``random`` (default), ``block`` or ``grid``: MAE's ablation of Fig. 6; see :mod:`mixedae.ops.masking`.
        **kwargs: see ``mmpretrain.BaseSelfSupervisor``.
    """

    def __init__(self, *args: Any, mask_ratio: float = 0.75, masking: str = "random", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.neck.place(self.backbone.patch_resolution)
        draw_mask(masking, 0, self.backbone.patch_resolution, mask_ratio)  # refuses what is impossible here
        self.mask_ratio, self.masking = mask_ratio, masking

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Features of whole images: the plain ViT.

        Args:
            inputs: (B, C, H, W).
        """
        return self.backbone(inputs)

    @classmethod
    def check_config(cls, model: Any, loader: Any) -> None:
        """See :func:`mixedae.methods.checks.check_crops`.

        Args:
            model: of the config.
            loader: ``train_dataloader``.
        """
        check_crops(model, loader)

    def loss(self, inputs: Tensor, data_samples: list | None = None, **kwargs: Any) -> dict[str, Tensor]:
        """Mean squared error on the removed patches.

        Args:
            inputs: (B, C, H, W) normalised images.
            data_samples: unused.

        Returns:
            ``loss_recon``.
        """
        patches = patchify(inputs, patch_size(self.backbone))
        grid = self.backbone.patch_resolution
        kept, removed = draw_mask(self.masking, len(patches), grid, self.mask_ratio, device=inputs.device)
        latent = self.backbone.ln1(self.backbone.encode(take(patches, kept), positions=kept))
        predicted = self.neck.predict(self.neck.decode_kept(latent, kept, read=removed))
        target = take(self.head.targets(patches), removed)
        return {"loss_recon": self.head.reconstruction_loss(predicted, target)}
