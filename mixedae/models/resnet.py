"""ResNet for the checkpoints of other pre-trainings: the ResNet half of Table 2 (the small sets)."""

from typing import Any

from mmpretrain.models import ResNet as MMPretrainResNet

from mixedae.errors import ConfigError
from mixedae.registry import MODELS, WEIGHT_INITIALIZERS

PRETRAINED_TYPE = "mixedae.PretrainedResNet"


@MODELS.register_module()
class ResNet(MMPretrainResNet):
    """mmpretrain's ResNet; pre-trained weights are applied last and strictly.

    mmpretrain zeroes the last BatchNorm of every block after any initialiser except its own ``Pretrained``, and that
    one does not say what it did not load.

    Args:
        init_cfg: ``dict(type='mixedae.PretrainedResNet', checkpoint=...)``.
        **kwargs: see ``mmpretrain.ResNet``.

    Raises:
        ConfigError: another initialiser.
    """

    def __init__(self, init_cfg: dict | None = None, **kwargs: Any) -> None:
        if init_cfg is not None and init_cfg["type"] != PRETRAINED_TYPE:
            raise ConfigError(f"init_cfg of type {init_cfg['type']!r} found; expected {PRETRAINED_TYPE}")
        super().__init__(**kwargs)
        self.pretrained_cfg = init_cfg

    def init_weights(self) -> None:
        """Initialise as mmpretrain does, then apply the pre-trained weights: nothing may overwrite them afterwards."""
        super().init_weights()
        if self.pretrained_cfg is not None:
            WEIGHT_INITIALIZERS.build(dict(self.pretrained_cfg))(self)
