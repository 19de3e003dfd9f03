"""The projection head of DINO and iBOT: an MLP, a unit sphere, and K prototypes of unit length."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mixedae.registry import MODELS


@MODELS.register_module()
class DistillationHead(BaseModule):
    """Three layers with GELU to a bottleneck, which is normalised and compared with prototypes.

    References:
        DINO, arXiv 2104.14294, appendix C; facebookresearch/dino ``vision_transformer.py`` (DINOHead).

    Args:
        in_dim: D of the encoder.
        out_dim: K, number of prototypes.
        hidden_dim: of the MLP.
        bottleneck_dim: of the sphere.
        norm_last_layer: prototypes keep unit length (``weight_g`` of the official code fixed at one); False lets each
            have a learnt length.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int = 65536,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        norm_last_layer: bool = True,
    ) -> None:
        super().__init__()
        sizes = (in_dim, hidden_dim, hidden_dim, bottleneck_dim)
        layers: list[nn.Module] = []
        for i in range(3):
            layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.GELU()]
        self.mlp = nn.Sequential(*layers[:-1])
        self.prototypes = nn.Parameter(torch.empty(out_dim, bottleneck_dim))
        self.lengths = nn.Parameter(torch.ones(out_dim, 1), requires_grad=not norm_last_layer)

    def init_weights(self) -> None:
        """Official initial weights: N(0, 0.02), truncated, for the MLP; prototypes as PyTorch's linear layers."""
        for module in self.mlp:
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        bound = self.prototypes.shape[1] ** -0.5
        nn.init.uniform_(self.prototypes, -bound, bound)
        nn.init.ones_(self.lengths)

    def forward(self, x: Tensor) -> Tensor:
        """Logits over prototypes.

        Args:
            x: (..., D).

        Returns:
            (..., K): cosines, times the prototypes' lengths.
        """
        directions = F.normalize(self.prototypes, dim=-1) * self.lengths
        return F.linear(F.normalize(self.mlp(x), dim=-1), directions)
