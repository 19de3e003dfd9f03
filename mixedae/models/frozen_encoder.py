"""An encoder without a head: what the probes of frozen features build."""

from typing import Any

from mmengine.model import BaseModel
from mmengine.registry import MODELS as ALL_MODELS
from torch import Tensor

from mixedae.registry import MODELS


@MODELS.register_module()
class FrozenEncoder(BaseModel):
    """A backbone behind its pre-processing. It has no loss and predicts nothing.

    Args:
        backbone: config of any registered backbone.
        data_preprocessor: config.
        init_cfg: see ``mmengine.BaseModule``.
    """

    def __init__(self, backbone: dict, data_preprocessor: dict | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = ALL_MODELS.build(backbone)

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = "tensor") -> tuple[Tensor, ...]:
        """Features of the backbone's layers.

        Args:
            inputs: pre-processed pictures (B, 3, H, W).
            data_samples: unused.
            mode: only ``tensor`` has a meaning.

        Returns:
            What the backbone gives.

        Raises:
            NotImplementedError: a loss or a prediction was asked for.
        """
        if mode != "tensor":
            raise NotImplementedError(f"mode {mode!r} found; an encoder without a head only knows 'tensor'")
        return self.backbone(inputs)
