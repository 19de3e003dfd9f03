"""Attentive probes: learnt queries pool frozen tokens, a linear layer classifies; a grid of them trains side by side.

All probes of a grid read the tokens once. A probe needs of them the averages under its attention, because attention
weights add up to 1: a value projection of an average is the average of the values, and a key projection can be moved
to the query, where a bias cancels. So the scores of all probes are one matrix product of tokens and stacked queries.

References:
    efficient probing, arXiv 2506.10178 (ICLR 2026), billpsomas/efficient-probing ``poolings/ep.py``;
    CAPI, arXiv 2502.08769, facebookresearch/capi ``eval_classification.py`` (98b4fa1), AttnPoolClassifier.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.heads import ClsHead
from torch import Tensor, nn

from mixedae.errors import ConfigError
from mixedae.registry import MODELS

CAPI_WIDTH = 64
"""Width of one of CAPI's attention heads."""


class EfficientProbe(nn.Module):
    """Efficient probing: Q queries look at the tokens themselves; one value projection is divided among them.

    Weights start as PyTorch's do, queries from a normal distribution with deviation 0.02.

    Args:
        width: D of the tokens, a multiple of ``queries``.
        classes: C.
        queries: Q.
    """

    def __init__(self, width: int, classes: int, queries: int) -> None:
        super().__init__()
        if width % queries:
            raise ConfigError(
                f"queries={queries} and in_channels={width} found; expected queries that divide the width"
            )
        self.queries = nn.Parameter(0.02 * torch.randn(queries, width))
        self.value = nn.Linear(width, width, bias=False)
        self.norm = nn.BatchNorm1d(width, affine=False, eps=1e-6)
        self.classifier = nn.Linear(width, classes)

    def looks(self) -> Tensor:
        """What is multiplied with the tokens, (Q, D)."""
        return self.queries * self.queries.shape[1] ** -0.5

    def scores(self, pooled: Tensor) -> Tensor:
        """Class scores (B, C) of averages of tokens (B, Q, D)."""
        count, width = self.queries.shape
        values = torch.einsum("bqd,qed->bqe", pooled, self.value.weight.view(count, width // count, width))
        return self.classifier(self.norm(values.flatten(1)))


class CapiProbe(nn.Module):
    """CAPI's attentive probe: one query, heads of 64, keys and values with biases, no norm.

    Args:
        width: D of the tokens, a multiple of 64.
        classes: C.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        if width % CAPI_WIDTH:
            raise ConfigError(f"form='capi' and in_channels={width} found; expected a multiple of {CAPI_WIDTH}")
        self.query = nn.Parameter(torch.empty(width))
        self.key_value = nn.Linear(width, 2 * width)
        self.classifier = nn.Linear(width, classes)
        nn.init.trunc_normal_(self.query, std=0.02)
        for layer in (self.key_value, self.classifier):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def looks(self) -> Tensor:
        """The query of each head behind its key projection, (D / 64, D)."""
        width = len(self.query)
        keys = self.key_value.weight[:width].view(-1, CAPI_WIDTH, width)
        return torch.einsum("he,hed->hd", self.query.view(-1, CAPI_WIDTH), keys) * CAPI_WIDTH**-0.5

    def scores(self, pooled: Tensor) -> Tensor:
        """Class scores (B, C) of averages of tokens (B, D / 64, D)."""
        width = len(self.query)
        weight = self.key_value.weight[width:].view(-1, CAPI_WIDTH, width)
        values = torch.einsum("bhd,hed->bhe", pooled, weight).flatten(1) + self.key_value.bias[width:]
        return self.classifier(values)


@MODELS.register_module()
class AttentiveProbeHead(ClsHead):
    """A grid of attentive probes, one for each learning rate and weight decay; the chosen one predicts.

    The loss is the sum of their losses, so that each probe has its own gradient and trains as if it were alone.
    ``mixedae.ProbeGridConstructor`` gives each its rate and decay, ``mixedae.ChooseProbeHook`` chooses one on held-out
    pictures.

    Args:
        num_classes: C.
        in_channels: D of the tokens.
        learning_rates: of the grid, as factors of the optimizer's.
        weight_decays: of the grid; biases are not decayed.
        form: ``efficient`` or ``capi``.
        queries: Q of the efficient form.
        extra_tokens: tokens in front of the patches, such as [CLS].
        with_cls: whether these are read too (efficient probing's ``ep_all``).
        **kwargs: see mmpretrain's ``ClsHead``.

    Raises:
        ConfigError: an empty grid, an unknown form, a width that does not fit it; tokens that are none.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        learning_rates: Sequence[float] = (1.0,),
        weight_decays: Sequence[float] = (0.0,),
        form: str = "efficient",
        queries: int = 32,
        extra_tokens: int = 1,
        with_cls: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.grid = [*itertools.product(map(float, learning_rates), map(float, weight_decays))]
        if not self.grid or form not in ("efficient", "capi"):
            raise ConfigError(
                f"AttentiveProbeHead: form={form!r} and a grid of {len(self.grid)} found; expected efficient or capi, "
                "and at least one learning rate and one weight decay"
            )
        self.skipped = 0 if with_cls else extra_tokens
        self.probes = nn.ModuleList(
            EfficientProbe(in_channels, num_classes, queries)
            if form == "efficient"
            else CapiProbe(in_channels, num_classes)
            for _ in self.grid
        )
        self.chosen: Tensor
        self.register_buffer("chosen", torch.tensor(0))

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """The tokens that are pooled, (B, N, D).

        Args:
            feats: of the backbone with ``out_type="raw"``; the last layer counts.
        """
        tokens = feats[-1]
        if tokens.ndim != 3:
            raise ConfigError(
                f"AttentiveProbeHead found features of the shape {tuple(tokens.shape)}; expected tokens: set "
                "model.backbone.out_type=raw"
            )
        return tokens[:, self.skipped :]

    def every(self, feats: tuple[Tensor, ...], only: Sequence[int] | None = None) -> list[Tensor]:
        """Class scores (B, C) of each probe, or of some.

        Args:
            feats: see :meth:`pre_logits`.
            only: indices of probes.
        """
        tokens = self.pre_logits(feats)
        probes: list[Any] = [self.probes[i] for i in (range(len(self.probes)) if only is None else only)]
        looks = [probe.looks() for probe in probes]
        attention = F.softmax(torch.cat(looks) @ tokens.transpose(1, 2), dim=-1)  # (B, all queries, N)
        pooled = (attention @ tokens).split([len(rows) for rows in looks], dim=1)
        return [probe.scores(part) for probe, part in zip(probes, pooled, strict=True)]

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Class scores (B, C) of the chosen probe.

        Args:
            feats: see :meth:`pre_logits`.
        """
        return self.every(feats, [int(self.chosen)])[0]

    def loss(self, feats: tuple[Tensor, ...], data_samples: list, **kwargs: Any) -> dict[str, Tensor]:
        """Sum over the probes, and the smallest of their losses for the log.

        Args:
            feats: see :meth:`pre_logits`.
            data_samples: with labels.
            **kwargs: unused; mmpretrain's signature.
        """
        target = torch.cat([sample.gt_label for sample in data_samples])
        losses = torch.stack([self.loss_module(scores, target) for scores in self.every(feats)])
        return {"loss": losses.sum(), "smallest": losses.detach().min()}
