"""The linear head of dense probes: BatchNorm and a 1 x 1 convolution on frozen patches.

References:
    DINOv3, arXiv 2508.10104; facebookresearch/dinov3 ``eval/segmentation/models/heads/linear_head.py``: channels are
    dropped before the norm (0.1), the convolution starts from a normal distribution with deviation 0.01, its bias at 0.
"""

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import build_norm_layer
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor

from mixedae.registry import MODELS


@MODELS.register_module()
class PatchLinearHead(BaseDecodeHead):
    """Class scores of each patch from the backbone's maps, side by side; mmseg brings the scores to the mask's size.

    Args:
        in_channels: widths of the maps that the backbone gives.
        num_classes: C.
        dropout_ratio: of whole channels, in training.
        norm_cfg: ``BN``, or ``SyncBN`` over several GPUs.
        **kwargs: see mmseg's ``BaseDecodeHead``.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        num_classes: int,
        dropout_ratio: float = 0.1,
        norm_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        widths = [in_channels] if isinstance(in_channels, int) else [*in_channels]
        norm = norm_cfg or {"type": "BN"}
        super().__init__(
            in_channels=widths,
            channels=sum(widths),
            num_classes=num_classes,
            dropout_ratio=dropout_ratio,
            in_index=[*range(len(widths))],
            input_transform="resize_concat",
            norm_cfg=norm,
            align_corners=False,
            **kwargs,
        )
        self.norm = build_norm_layer(norm, self.channels)[1]

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Class scores.

        Args:
            inputs: maps (B, D, rows, columns).

        Returns:
            (B, C, rows, columns).
        """
        features = self._transform_inputs(inputs)
        if self.dropout is not None:
            features = self.dropout(features)
        return self.conv_seg(self.norm(features))
