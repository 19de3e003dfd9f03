"""Turn a plain ViT's maps, all of one stride, into a feature pyramid, as BEiT and MAE do for UperNet and FPN."""

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mixedae.errors import ConfigError, ImageSizeError
from mixedae.registry import MODELS


@MODELS.register_module()
class ViTPyramid(BaseModule):
    """One level per map: a few layers of its own bring each map to its stride.

    A level at four times the resolution is ConvTranspose, norm, GELU, ConvTranspose; at twice the resolution one
    ConvTranspose (kernel and stride 2); at the same the identity; below it max-pooling. Source: BEiT's segmentation
    backbone (``fpn1`` to ``fpn4``), which MAE's and iBOT's dense recipes share. Unlike mmseg's ``Feature2Pyramid``,
    which computes the same for (4, 2, 1, 0.5), any selection of the factors works and the order is the caller's.

    Args:
        in_channels: channels of every map, in and out.
        rescales: one factor per map, of 4, 2, 1, 0.5, 0.25: resolution of the level over that of the map. With
            patch 16, (4, 2, 1, 0.5) gives strides 4, 8, 16, 32; with patch 8, (2, 1, 0.5, 0.25) does.
        norm_cfg: norm of the level at four times the resolution.
        init_cfg: initialiser of mmengine; default: PyTorch's initial weights, as in the cited code.

    Raises:
        ConfigError: a factor that is not one of the five.
    """

    FACTORS = (4, 2, 1, 0.5, 0.25)

    def __init__(
        self,
        in_channels: int,
        rescales: Sequence[float] = (4, 2, 1, 0.5),
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        norm_cfg = norm_cfg or dict(type="SyncBN")
        self.rescales = tuple(rescales)
        self.levels = nn.ModuleList(self._level(in_channels, factor, norm_cfg) for factor in self.rescales)

    @classmethod
    def _level(cls, channels: int, factor: float, norm_cfg: dict) -> nn.Module:
        if factor == 4:
            return nn.Sequential(
                _double(channels), build_norm_layer(norm_cfg, channels)[1], nn.GELU(), _double(channels)
            )
        if factor == 2:
            return _double(channels)
        if factor == 1:
            return nn.Identity()
        if factor in cls.FACTORS:
            return nn.MaxPool2d(round(1 / factor))
        raise ConfigError(f"ViTPyramid: rescale factor {factor} found; expected one of {cls.FACTORS}")

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Rescale each map.

        Args:
            inputs: as many maps (B, C, h, w) as there are factors, usually of four layers of one ViT.

        Returns:
            Maps (B, C, f*h, f*w), f the map's factor; odd sizes are rounded down by pooling.

        Raises:
            ConfigError: another number of maps than of factors.
            ImageSizeError: a map so small that pooling leaves nothing.
        """
        if len(inputs) != len(self.levels):
            raise ConfigError(
                f"ViTPyramid got {len(inputs)} maps, expected {len(self.levels)}, one for each of rescales="
                f"{self.rescales}: give the backbone as many out_indices"
            )
        height, width = inputs[0].shape[-2:]
        if min(height, width) * min(self.rescales) < 1:
            raise ImageSizeError(
                f"a map of {height} x {width} patches cannot be pooled by {min(self.rescales)}: use larger images"
            )
        return tuple(level(x) for level, x in zip(self.levels, inputs, strict=True))


def _double(channels: int) -> nn.ConvTranspose2d:
    """Twice the resolution; kernel and stride 2, so no output sees two inputs."""
    return nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2)
