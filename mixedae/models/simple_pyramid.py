"""ViTDet's simple feature pyramid: every level from the last map alone, without FPN's connections.

References:
    ViTDet, arXiv 2203.16527, section 3 and appendix A; facebookresearch/detectron2 ``SimpleFeaturePyramid``.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mixedae.errors import ConfigError, ImageSizeError
from mixedae.registry import MODELS


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Levels from one map: change of resolution, then a 1 x 1 and a 3 x 3 convolution, each with a channel norm.

    Four times the resolution: ConvTranspose to half of the channels, norm, GELU, ConvTranspose to a quarter; twice: one
    ConvTranspose to half of the channels; half: max-pooling. Levels beyond the factors subsample the last one.

    Args:
        in_channels: channels of the map.
        out_channels: channels of every level.
        rescales: factors of 4, 2, 1, 0.5; with patch 16 the default gives strides 4, 8, 16, 32.
        num_outs: number of levels.
        norm_cfg: the norm; default: LayerNorm over channels.
        init_cfg: initialiser of mmengine; default: PyTorch's initial weights.

    Raises:
        ConfigError: a factor that is not one of the four, or fewer levels than factors.
    """

    FACTORS = (4, 2, 1, 0.5)

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        rescales: Sequence[float] = (4, 2, 1, 0.5),
        num_outs: int = 5,
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if unknown := [factor for factor in rescales if factor not in self.FACTORS]:
            raise ConfigError(f"SimpleFeaturePyramid: rescale factor {unknown[0]} found; expected of {self.FACTORS}")
        if num_outs < len(rescales):
            raise ConfigError(f"SimpleFeaturePyramid: num_outs={num_outs} found; expected at least {len(rescales)}")
        norm_cfg = norm_cfg or dict(type="mmpretrain.LN2d", eps=1e-6)
        self.rescales, self.num_outs = tuple(rescales), num_outs
        self.levels = nn.ModuleList(
            self._level(in_channels, out_channels, factor, norm_cfg) for factor in self.rescales
        )

    @staticmethod
    def _level(channels: int, out: int, factor: float, norm_cfg: dict) -> nn.Sequential:
        layers: list[nn.Module] = []
        if factor == 4:
            layers += [
                nn.ConvTranspose2d(channels, channels // 2, 2, 2),
                build_norm_layer(norm_cfg, channels // 2)[1],
                nn.GELU(),
                nn.ConvTranspose2d(channels // 2, channels // 4, 2, 2),
            ]
            channels //= 4
        elif factor == 2:
            layers.append(nn.ConvTranspose2d(channels, channels // 2, 2, 2))
            channels //= 2
        elif factor == 0.5:
            layers.append(nn.MaxPool2d(2))
        for inputs, size in ((channels, 1), (out, 3)):
            layers.append(nn.Conv2d(inputs, out, size, padding=size // 2, bias=False))
            layers.append(build_norm_layer(norm_cfg, out)[1])
        return nn.Sequential(*layers)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Build the levels.

        Args:
            inputs: maps (B, C, h, w) of the backbone; the last one is used.

        Returns:
            ``num_outs`` maps (B, out_channels, f*h, f*w), finest first.

        Raises:
            ImageSizeError: a map so small that pooling leaves nothing.
        """
        last = inputs[-1]
        if min(last.shape[-2:]) * min(self.rescales) < 1:
            raise ImageSizeError(
                f"a map of {last.shape[-2]} x {last.shape[-1]} patches is too small; use larger images"
            )
        levels = [level(last) for level in self.levels]
        while len(levels) < self.num_outs:
            levels.append(F.max_pool2d(levels[-1], kernel_size=1, stride=2))
        return tuple(levels)
