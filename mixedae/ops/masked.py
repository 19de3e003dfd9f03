"""Which patches Eq. (4) of MixedAE (arXiv 2303.17152) reads, so that the decoder predicts these and no others."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixedae.ops.mixing import given_by, share_counts, target_images


@dataclass(frozen=True)
class MaskedPositions:
    """The masked patches of an unmixed batch; G images per group, M mixed samples, L patches per image.

    Every mixed sample has (G-1)L masked positions over its G unmixed sequences, but one sequence may have more than
    another. A decoder needs equally many of each: ``read`` has as many as the sequence with the most, and ``rows``
    leaves out what is not masked.

    Attributes:
        read: int64 (M*G, Q), positions in 0..L-1 to decode of each unmixed sequence, masked ones first.
        rows: int64 (M*(G-1)*L,), which of the M*G*Q decoded tokens are masked; None if all are.
        patches: int64 (M*(G-1)*L,), the patches of the batch that these tokens reconstruct, in 0..B*L-1.
    """

    read: Tensor
    rows: Tensor | None
    patches: Tensor

    def of_decoded(self, decoded: Tensor) -> Tensor:
        """The decoded tokens that are masked.

        Args:
            decoded: (M*G, Q, C), at the positions ``read``.

        Returns:
            (M*(G-1)*L, C).
        """
        tokens = decoded.flatten(0, 1)
        return tokens if self.rows is None else tokens.index_select(0, self.rows)

    def of_images(self, targets: Tensor) -> Tensor:
        """What these tokens shall reconstruct, in the same order.

        Args:
            targets: (B, L, C), of every patch of the batch.

        Returns:
            (M*(G-1)*L, C).
        """
        return targets.flatten(0, 1).index_select(0, self.patches)


def masked_positions(
    sources: Tensor, batch_size: int, group_size: int, shares: Sequence[float] | None = None
) -> MaskedPositions:
    """Find the masked patches of an unmixed batch: those with 1 - 1(M = i) in Eq. (4).

    Their numbers follow from the shapes alone, so that nothing waits for a GPU.

    Args:
        sources: int64 (M, L), as :func:`mixedae.ops.sample_sources` draws them.
        batch_size: B.
        group_size: G.
        shares: those that ``sources`` were drawn with.
    """
    length = sources.shape[1]
    fewest = length // group_size if shares is None else min(share_counts(length, group_size, shares))
    masked = ~given_by(sources, group_size).flatten(0, 1)  # (M*G, L)
    read = _true_first(masked)[:, : length - fewest]
    images = target_images(len(sources), batch_size, group_size, sources.device)
    patches = (images[:, None] * length + read).flatten()
    count = len(sources) * length * (group_size - 1)
    if count == len(patches):
        return MaskedPositions(read, None, patches)
    rows = _true_first(masked.gather(1, read).flatten())[:count]
    return MaskedPositions(read, rows, patches[rows])


def _true_first(mask: Tensor) -> Tensor:
    """Positions along the last dimension, those of True before those of False, each in increasing order."""
    return mask.to(torch.uint8).argsort(dim=-1, descending=True, stable=True)
