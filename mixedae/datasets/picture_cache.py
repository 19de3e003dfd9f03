"""Training pictures of a small set, decoded once and not again in every epoch; the pixels are the same."""

from typing import Any

import numpy as np

from mixedae.datasets.reading import LoadPicture
from mixedae.registry import TRANSFORMS

LIMIT = 256 * 2**20
"""Bytes of decoded pictures that a training process keeps: the mini benchmark's 8000 pictures take 98 MB."""


@TRANSFORMS.register_module()
class LoadImageOnce(LoadPicture):
    """``mixedae.LoadPicture`` that keeps what it decoded, up to :data:`LIMIT`; what comes later is decoded every time.

    Every call returns an array of its own, so the steps that follow may write into it.

    Args:
        **kwargs: see there.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._kept: dict[str, np.ndarray] = {}
        self._free = LIMIT

    def transform(self, results: dict) -> dict[str, Any]:
        """Add ``img``, (H, W) or (H, W, channels), and its shapes, as mmcv's does."""
        image = self._kept.get(results["img_path"])
        if image is None:
            found = super().transform(results)
            if found["img"].nbytes <= self._free:
                self._free -= found["img"].nbytes
                self._kept[found["img_path"]] = found["img"].copy()
            return found
        results["img"] = image.copy()
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results


def keep_pictures(cfg: Any) -> None:
    """Let a training that loads in its own process keep its decoded pictures.

    A loader's worker processes would keep a copy each. The recipe, and so its hash, does not say how pictures come from
    the disk: this is called by the trainer, after the recipe is read.

    Args:
        cfg: the resolved config, which is changed.
    """
    loader = cfg.get("train_dataloader") or {}
    pipeline = (loader.get("dataset") or {}).get("pipeline")
    if pipeline and pipeline[0].get("type") == "mixedae.LoadPicture" and not loader.get("num_workers"):
        pipeline[0]["type"] = "mixedae.LoadImageOnce"
