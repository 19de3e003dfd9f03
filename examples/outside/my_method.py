"""An autoencoder without masks: the method of docs/methods.md."""

import torch
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from torch import nn

from mixedae.ops import patchify
from mixedae.registry import MODELS


@MODELS.register_module()
class PlainAutoencoder(BaseSelfSupervisor):
    """Each token gives back the pixels of its patch."""

    def __init__(self, backbone, patch_size=8, **kwargs):
        super().__init__(backbone=backbone, **kwargs)
        self.patch_size = patch_size
        self.decoder = nn.Linear(self.backbone.embed_dims, patch_size * patch_size * 3)

    def loss(self, inputs, data_samples=None):
        tokens = self.backbone(inputs)[0][:, 1:]
        return {"loss_pixels": torch.square(self.decoder(tokens) - patchify(inputs, self.patch_size)).mean()}
