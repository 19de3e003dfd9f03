"""iBOT: DINO, and the student also predicts masked patches of the large crops, by the same prototypes.

References:
    iBOT, arXiv 2111.07832, section 3; bytedance/ibot ``main_ibot.py`` (iBOTLoss), ``loader.py`` (ImageFolderMask).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mixedae.errors import ConfigError
from mixedae.methods.dino import DINO, check_views, mean_over_processes
from mixedae.ops.block_masks import draw_block_mask, draw_ratio
from mixedae.ops.self_distillation import centred_softmax, moved_centre, patch_loss, view_loss
from mixedae.registry import MODELS


@MODELS.register_module()
class IBOT(DINO):
    """Image BERT pre-training with an online tokenizer: the teacher's head gives patches their words.

    [CLS] and patches share the head (``shared_head`` of the official code).

    Args:
        backbone: a ``mixedae.MaskedViT`` with ``out_type='raw'``.
        mask_ratios: means of the ratios that are drawn from, each as often; (0, 0.3) leaves half of the crops whole.
        mask_spreads: half-widths around them.
        mask_epochs: first epochs without masks (``pred_start_epoch``).
        patch_temperature: tau_t of patches after the warm-up; default: that of [CLS].
        weights: of the loss of [CLS] and of the patches.
        **kwargs: see :class:`DINO`.

    Raises:
        ConfigError: another backbone, a ratio below its spread, or above 1.
    """

    def __init__(
        self,
        backbone: dict,
        mask_ratios: Sequence[float] = (0.0, 0.3),
        mask_spreads: Sequence[float] = (0.0, 0.2),
        mask_epochs: int = 0,
        patch_temperature: float | None = None,
        weights: Sequence[float] = (1.0, 1.0),
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone=backbone, **kwargs)
        if not hasattr(self.backbone, "mask_token"):
            raise ConfigError(f"a backbone {type(self.backbone).__name__} found; iBOT masks patches: mixedae.MaskedViT")
        for ratio, spread in zip(mask_ratios, mask_spreads, strict=True):
            if not 0 <= ratio - spread <= ratio + spread < 1:
                raise ConfigError(
                    f"mask_ratios {ratio} +- {spread} found; expected 0 <= ratio - spread, the sum below 1"
                )
        self.mask_ratios, self.mask_spreads, self.mask_epochs = tuple(mask_ratios), tuple(mask_spreads), mask_epochs
        start, end, epochs = self.temperatures
        self.patch_temperatures = (start, end if patch_temperature is None else patch_temperature, epochs)
        self.weights = tuple(weights)
        self.patch_centre: Tensor
        self.register_buffer("patch_centre", torch.zeros_like(self.centre))

    def patch_temperature(self) -> float:
        """tau_t of patches, of this epoch."""
        start, end, epochs = self.patch_temperatures
        return end if self.epoch >= epochs else start + (end - start) * self.epoch / max(epochs - 1, 1)

    def draw_masks(self, count: int, grid: tuple[int, int]) -> Tensor:
        """Masks for a batch.

        Args:
            count: number of pictures.
            grid: rows and columns of patches.

        Returns:
            bool (count, rows, columns).
        """
        if self.epoch < self.mask_epochs:
            return torch.zeros(count, *grid, dtype=torch.bool)
        return torch.stack(
            [draw_block_mask(grid, draw_ratio(self.mask_ratios, self.mask_spreads)) for _ in range(count)]
        )

    def loss(self, inputs: Sequence[Tensor], data_samples: list | None = None, **kwargs: Any) -> dict[str, Tensor]:
        """Both losses.

        Args:
            inputs: see :meth:`DINO.loss`.
            data_samples: unused.

        Returns:
            ``loss_cls`` and ``loss_patch``, times their weights, and the entropies.

        Raises:
            ConfigError: fewer views than ``global_views``.
        """
        views = check_views(inputs, self.global_views)
        large, number = torch.cat(views[: self.global_views]), self.global_views
        masks = self.draw_masks(len(large), self.backbone.patch_resolution).to(large.device)
        with torch.no_grad():
            logits = self.head(self.backbone(large)[0])
        cls, patches = logits[:, 0], logits[:, 1:]
        targets = centred_softmax(cls, self.centre, self.teacher_temperature())
        words = centred_softmax(patches, self.patch_centre, self.patch_temperature())
        found = self.student["head"](self.student["backbone"](large, masks)[0])
        small = self.cls_logits(views[number:]) if len(views) > number else []
        losses = {
            "loss_cls": self.weights[0]
            * view_loss(targets.chunk(number), [*found[:, 0].chunk(number), *small], self.student_temperature),
            "loss_patch": self.weights[1]
            * patch_loss(
                words.chunk(number),
                found[:, 1:].chunk(number),
                masks.flatten(1).chunk(number),
                self.student_temperature,
            ),
        }
        self.centre.copy_(moved_centre(self.centre, mean_over_processes(cls), self.centre_momentum))
        mean = mean_over_processes(patches.mean(dim=1))
        self.patch_centre.copy_(moved_centre(self.patch_centre, mean, self.centre_momentum))
        return {**losses, **self.watched(targets)}
