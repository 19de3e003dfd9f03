"""Self-attention that knows where its tokens stand: relative positions and windows, for the dense transfers.

Every module here takes over the projections of mmpretrain's attention block, under the same names, so that pre-trained
weights load as they are. All relative positions start at zero: before training each block computes plain attention.

References:
    BEiT, arXiv 2106.08254 (one bias per head and offset; ADE20K recipes of BEiT and MAE); MViTv2, arXiv 2112.01526, and
    ViTDet, arXiv 2203.16527, section 3 (relative positions that depend on the query, one table per axis; windows).
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn

Grid = tuple[int, int]
"""Rows and columns of patches."""


class SpatialAttention(nn.Module):
    """Multi-head attention over a grid of patches, global or in windows that do not overlap.

    Windows at the border are filled up with zeros after the norm, and these count as keys, as in ViTDet's code.

    Args:
        attn: the plain block whose ``qkv``, ``proj``, ``gamma1`` and stochastic depth are taken over.
        grid: rows and columns that relative positions are made for; for other inputs they are interpolated. For windows
            it is the window's grid.
        window_size: side of a window in patches; 0 is global attention.
        num_prefix: tokens ([CLS]) before the patches; with windows there are none.
    """

    def __init__(self, attn: MultiheadAttention, grid: Grid, window_size: int = 0, num_prefix: int = 1) -> None:
        super().__init__()
        self.num_heads, self.head_dims = attn.num_heads, attn.head_dims
        self.grid = (window_size, window_size) if window_size else grid
        self.window_size, self.num_prefix = window_size, num_prefix
        self.qkv, self.proj = attn.qkv, attn.proj
        self.proj_drop, self.gamma1, self.out_drop = attn.proj_drop, attn.gamma1, attn.out_drop
        self.attn_drop = float(attn.attn_drop)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Attend.

        Args:
            x: (B, P + H*W, C), already normalised; P prefix tokens, then patches row by row.
            grid: H and W.

        Returns:
            (B, P + H*W, C), without the residual.
        """
        windows, inner = x, grid
        if self.window_size:
            windows, inner = to_windows(x, grid, self.window_size), self.grid
        qkv = self.qkv(windows).unflatten(-1, (3, self.num_heads, self.head_dims))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        out = self.attend(q, k, v, inner).transpose(1, 2).flatten(2)
        if self.window_size:
            out = from_windows(out, grid, self.window_size)
        return self.out_drop(self.gamma1(self.proj_drop(self.proj(out))))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, grid: Grid) -> Tensor:
        """softmax(q k^T / sqrt(D) + relative positions) v; here without positions.

        Args:
            q: (B, heads, N, D).
            k: as q.
            v: as q.
            grid: rows and columns of the N patches.

        Returns:
            (B, heads, N, D).
        """
        return F.scaled_dot_product_attention(q, k, v, dropout_p=self._dropout)

    @property
    def _dropout(self) -> float:
        return self.attn_drop if self.training else 0.0


def resize_bias_table(table: Tensor, own: Grid, grid: Grid) -> Tensor:
    """A table of biases for another grid: bicubic with aligned corners, so that offset zero stays offset zero.

    Args:
        table: ((2H - 1)(2W - 1) + E, heads); the last E rows, [CLS]'s, stay as they are.
        own: H and W.
        grid: rows and columns wanted.
    """
    rows, columns = (2 * side - 1 for side in own)
    size = tuple(2 * side - 1 for side in grid)
    if size == (rows, columns):
        return table
    offsets, prefix = table[: rows * columns], table[rows * columns :]
    image = offsets.T.reshape(1, -1, rows, columns).float()
    image = F.interpolate(image, size=size, mode="bicubic", align_corners=True)
    return torch.cat((image.flatten(2)[0].T.to(table.dtype), prefix))


class BiasTableAttention(SpatialAttention):
    """Attention with one learnt number for each head and offset between two patches (BEiT), zero at the start.

    ``relative_position_bias_table`` has (2H - 1)(2W - 1) + 3 rows, the last three for [CLS] to patch, patch to [CLS]
    and [CLS] to itself; without [CLS] they are not built. For a grid other than the table's the offsets' part is
    interpolated, as absolute positions are (bicubic with aligned corners, so that offset zero stays offset zero).

    Args:
        attn: see :class:`SpatialAttention`, and so are the others.
        grid: rows and columns.
        window_size: 0, or the side of a window.
        num_prefix: 0 or 1.
    """

    def __init__(self, attn: MultiheadAttention, grid: Grid, window_size: int = 0, num_prefix: int = 1) -> None:
        super().__init__(attn, grid, window_size, num_prefix)
        rows, columns = self.grid
        offsets = (2 * rows - 1) * (2 * columns - 1)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(offsets + 3 * num_prefix, self.num_heads))

    def bias(self, grid: Grid) -> Tensor:
        """The bias that is added to the scores.

        Args:
            grid: rows and columns of the patches at hand.

        Returns:
            (heads, N, N).
        """
        table = resize_bias_table(self.relative_position_bias_table, self.grid, grid)
        return table[offset_index(*grid, self.num_prefix, table.device)].permute(2, 0, 1)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, grid: Grid) -> Tensor:
        """See :meth:`SpatialAttention.attend`."""
        bias = self.bias(grid).to(q.dtype)[None]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=self._dropout)


class DecomposedAttention(SpatialAttention):
    """Attention whose scores add q . R_h[row offset] + q . R_w[column offset] (MViTv2, ViTDet), zero at the start.

    q is not scaled there, as in ViTDet's code. The N x N bias is never made: q is lengthened by its products with the
    tables, k by one-hot rows and columns, so that memory-efficient attention does the rest.

    Args:
        attn: see :class:`SpatialAttention`, and so are the others.
        grid: rows and columns; ``rel_pos_h`` is (2H - 1, D), ``rel_pos_w`` (2W - 1, D).
        window_size: 0, or the side of a window.
        num_prefix: must be 0: a prefix token has no place.
    """

    def __init__(self, attn: MultiheadAttention, grid: Grid, window_size: int = 0, num_prefix: int = 0) -> None:
        super().__init__(attn, grid, window_size, num_prefix)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * self.grid[0] - 1, self.head_dims))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * self.grid[1] - 1, self.head_dims))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, grid: Grid) -> Tensor:
        """See :meth:`SpatialAttention.attend`."""
        rows, columns = grid
        spatial = q.unflatten(2, grid)  # (B, heads, rows, columns, D)
        by_row = torch.einsum("bhyxd,ykd->bhyxk", spatial, _relative(self.rel_pos_h, rows).to(q.dtype))
        by_column = torch.einsum("bhyxd,xkd->bhyxk", spatial, _relative(self.rel_pos_w, columns).to(q.dtype))
        own_row = torch.eye(rows, dtype=k.dtype, device=k.device).repeat_interleave(columns, 0)
        own_column = torch.eye(columns, dtype=k.dtype, device=k.device).repeat(rows, 1)
        place = torch.cat((own_row, own_column), -1).expand(*k.shape[:2], -1, -1)
        longer_q = torch.cat((q * self.head_dims**-0.5, by_row.flatten(2, 3), by_column.flatten(2, 3)), -1)
        longer_k = torch.cat((k, place), -1)
        return F.scaled_dot_product_attention(longer_q, longer_k, v, dropout_p=self._dropout, scale=1.0)


RELATIVE_POSITIONS = {"none": SpatialAttention, "table": BiasTableAttention, "decomposed": DecomposedAttention}


@lru_cache(maxsize=8)
def offset_index(rows: int, columns: int, num_prefix: int, device: torch.device) -> Tensor:
    """Row of the bias table for each pair of tokens, BEiT's order.

    Args:
        rows: of the grid.
        columns: of the grid.
        num_prefix: 0, or 1 for a [CLS] token in front.
        device: of the result.

    Returns:
        int64 (P + N, P + N): query, key.
    """
    place = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    offset = place[:, None] - place[None]
    index = (offset[..., 0] + rows - 1) * (2 * columns - 1) + offset[..., 1] + columns - 1
    if num_prefix:
        first = (2 * rows - 1) * (2 * columns - 1)
        index = F.pad(index, (1, 0, 1, 0))
        index[0, :], index[:, 0], index[0, 0] = first, first + 1, first + 2
    return index.to(device)


def _relative(table: Tensor, length: int) -> Tensor:
    """(length, length, D): the row of the table for query and key; a table of another length is interpolated."""
    if len(table) != 2 * length - 1:
        table = F.interpolate(table.T[None].float(), size=2 * length - 1, mode="linear")[0].T.to(table.dtype)
    place = torch.arange(length, device=table.device)
    return table[place[:, None] - place[None] + length - 1]


def to_windows(x: Tensor, grid: Grid, size: int) -> Tensor:
    """Cut a grid of tokens into windows, filled up with zeros at the right and at the bottom.

    Args:
        x: (B, H*W, C).
        grid: H and W.
        size: side of a window.

    Returns:
        (B * windows, size*size, C), windows row by row.
    """
    rows, columns = grid
    x = F.pad(x.unflatten(1, grid), (0, 0, 0, -columns % size, 0, -rows % size))
    x = x.unflatten(2, (-1, size)).unflatten(1, (-1, size))  # (B, Y, size, X, size, C)
    return x.transpose(2, 3).flatten(0, 2).flatten(1, 2)


def from_windows(x: Tensor, grid: Grid, size: int) -> Tensor:
    """Undo :func:`to_windows`, and drop what it filled in.

    Args:
        x: (B * windows, size*size, C).
        grid: H and W of the tokens wanted.
        size: side of a window.

    Returns:
        (B, H*W, C).
    """
    down, across = (-(-side // size) for side in grid)
    x = x.unflatten(1, (size, size)).unflatten(0, (-1, down, across)).transpose(2, 3)
    return x.flatten(3, 4).flatten(1, 2)[:, : grid[0], : grid[1]].flatten(1, 2)
