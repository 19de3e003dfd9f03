"""Pre-training's augmentation on the model's device: crops and flips of a whole batch of stored pictures."""

from typing import Any

import torch
from mmpretrain.models import SelfSupDataPreprocessor
from torch import Tensor

from mixedae.errors import ConfigError
from mixedae.ops.crops import draw_boxes, resized_crops
from mixedae.registry import MODELS


@MODELS.register_module()
class CropPreprocessor(SelfSupDataPreprocessor):
    """Random resized crop, flip and normalisation in training; resizing and normalisation otherwise.

    Crops are drawn as by ``LoadRandomResizedCrop``, and pixels differ from it little. The generator is
    PyTorch's default one of the device, which mmengine seeds.

    Args:
        size: side of the output in pixels.
        crop_ratio_range: share of the picture's area, 0.2 to 1 in MAE's recipe.
        aspect_ratio_range: width / height.
        flip_prob: probability of a horizontal flip.
        **kwargs: mean, std and order of channels, see ``mmpretrain.SelfSupDataPreprocessor``.

    Raises:
        ConfigError: a range that is empty or reaches 0.
    """

    def __init__(
        self,
        size: int,
        crop_ratio_range: tuple[float, float] = (0.2, 1.0),
        aspect_ratio_range: tuple[float, float] = (3 / 4, 4 / 3),
        flip_prob: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, (low, high) in (("crop_ratio_range", crop_ratio_range), ("aspect_ratio_range", aspect_ratio_range)):
            if not 0 < low <= high:
                raise ConfigError(f"{name}=({low}, {high}) found; expected 0 < low <= high")
        self.size, self.area, self.aspect, self.flip_prob = size, crop_ratio_range, aspect_ratio_range, flip_prob

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Augment and normalise.

        Args:
            data: ``inputs``, uint8 (B, 3, H, W), as :class:`mixedae.PicturesInMemory` gives them.
            training: False takes whole pictures and draws nothing.

        Returns:
            ``inputs``, fp32 (B, 3, size, size), and ``data_samples``, None if the batch has none.
        """
        data = self.cast_data(data)
        images: Tensor = data["inputs"]
        count, _, height, width = images.shape
        device = images.device
        if training:
            boxes = draw_boxes(count, height, width, self.area, self.aspect, device=device)
            flip = torch.rand(count, device=device) < self.flip_prob
        else:
            boxes, flip = torch.tensor([[0, 0, height, width]], device=device).expand(count, -1), None
        cropped = resized_crops(images, boxes, (self.size, self.size), flip)
        return super().forward({"inputs": cropped, "data_samples": data.get("data_samples")}, training)
