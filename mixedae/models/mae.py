"""MAE (arXiv 2111.06377) on MixedAE's encoder, decoder and head: what the comparison is made against."""

from typing import Any

from mmpretrain.models import MAE as MMPretrainMAE
from torch import Tensor

from mixedae.ops import patchify, random_masking, take
from mixedae.registry import MODELS


@MODELS.register_module()
class MAE(MMPretrainMAE):
    """Masked Autoencoder: mmpretrain's loss and gradients, official MAE's initial weights, MixedAE's speed.

    It differs from mmpretrain's in what it does not compute: removed patches are never embedded and visible ones never
    predicted. The state dict has mmpretrain's names.

    Args:
        backbone: a ``mixedae.MixedAEPretrainViT`` with ``attention='plain'``.
        neck: a ``mixedae.MixedAEPretrainDecoder``.
        head: a ``mixedae.MixedAEPretrainHead`` with ``contrastive_weight=0``.
        mask_ratio: share of removed patches, 0.75 in the paper.
        **kwargs: see ``mmpretrain.BaseSelfSupervisor``.
    """

    def __init__(self, *args: Any, mask_ratio: float = 0.75, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        random_masking(0, self.backbone.num_patches, mask_ratio)  # refuses an impossible ratio here
        self.mask_ratio = mask_ratio

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Features of whole images: the plain ViT.

        Args:
            inputs: (B, C, H, W).
        """
        return self.backbone(inputs)

    def loss(self, inputs: Tensor, data_samples: list | None = None, **kwargs: Any) -> dict[str, Tensor]:
        """Mean squared error on the removed patches.

        Args:
            inputs: (B, C, H, W) normalised images.
            data_samples: unused.

        Returns:
            ``loss_recon``.
        """
        patches = patchify(inputs, self.backbone.patch_embed.projection.kernel_size[0])
        kept, removed = random_masking(len(patches), patches.shape[1], self.mask_ratio, device=inputs.device)
        latent = self.backbone.ln1(self.backbone.encode(take(patches, kept), positions=kept))
        predicted = self.neck.predict(take(self.neck.decode_kept(latent, kept), removed))
        target = take(self.head.targets(patches), removed)
        return {"loss_recon": self.head.reconstruction_loss(predicted, target)}
