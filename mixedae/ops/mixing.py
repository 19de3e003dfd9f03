"""Mixing and unmixing of patch sequences: Eqs. (1) to (3) of MixedAE (arXiv 2303.17152, section 3.1).

Symbols: G = 1/r images per group (``group_size``), B images per batch, L patches per image, C channels per patch,
M mixed samples (B/G in compose mode, B in full mode).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mixedae.errors import ConfigError, GroupSizeError

MODES = ("compose", "full")


def num_groups(batch_size: int, group_size: int) -> int:
    """Number of groups that a batch of B images falls into.

    Args:
        batch_size: B.
        group_size: G = 1/r.

    Raises:
        GroupSizeError: G < 2, or G does not divide B.
    """
    if group_size < 2:
        raise GroupSizeError(f"group size {group_size} found; mixing needs groups of at least 2 images (r <= 0.5)")
    if batch_size == 0 or batch_size % group_size:
        raise GroupSizeError(
            f"a batch of {batch_size} images does not fall into groups of {group_size}: choose a batch size (of each "
            f"process) that {group_size} divides, and drop_last=True in the training loader"
        )
    return batch_size // group_size


def sample_sources(
    num_groups: int,
    num_patches: int,
    group_size: int,
    mode: str = "compose",
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    shares: Sequence[float] | None = None,
) -> Tensor:
    """Draw the mixing masks M^j of Eqs. (1) and (2): which image of its group each position of a mixed sample shows.

    Every source is drawn equally often (symmetric mixing, Eq. 2): exactly L/G times if G divides L. Otherwise the
    counts differ by one, and the sources with one more are drawn at random, so that no place in the group is favoured.
    Unequal ``shares`` depart from Eq. (2) on purpose; which source gets which share is drawn for each mixed sample.

    Args:
        num_groups: number of groups B/G.
        num_patches: L.
        group_size: G = 1/r, at least 2.
        mode: ``compose``: one mixed sample per group; ``full``: G mixed samples per group, drawn independently.
        generator: source of randomness; its device must be ``device``.
        device: where to draw; default: the generator's device, else the CPU.
        shares: None: the same share r for all, Eq. (2). Or G positive numbers with sum 1, the shares of L.

    Returns:
        int64 (M, L) with values 0..G-1; in full mode rows j*G .. (j+1)*G-1 belong to group j.

    Raises:
        GroupSizeError: G < 2 or L < G.
        ConfigError: unknown mode; shares that are not G positive numbers with sum 1, or too small for one patch.
    """
    if mode not in MODES:
        raise ConfigError(f"mixing mode {mode!r} found; expected one of {MODES}")
    if group_size < 2 or num_patches < group_size:
        raise GroupSizeError(
            f"group size {group_size} with {num_patches} patches found; expected 2 <= group size <= number of patches"
        )
    if device is None:
        device = generator.device if generator is not None else torch.device("cpu")
    rows = num_groups * (group_size if mode == "full" else 1)
    if shares is None:
        first = torch.randint(group_size, (rows, 1), generator=generator, device=device)
        given = (torch.arange(num_patches, device=device) + first) % group_size
    else:
        counts = torch.tensor(share_counts(num_patches, group_size, shares), device=device)
        ranks = torch.arange(group_size, device=device).repeat_interleave(counts, output_size=num_patches)
        given = torch.rand(rows, group_size, generator=generator, device=device).argsort(dim=1)[:, ranks]
    order = torch.rand(rows, num_patches, generator=generator, device=device).argsort(dim=1)
    return given.gather(1, order)


def share_counts(num_patches: int, group_size: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers of patches for unequal shares, by largest remainder; their sum is L.

    Args:
        num_patches: L.
        group_size: G.
        shares: G positive numbers with sum 1.

    Raises:
        ConfigError: ``shares`` are not such numbers, or one of them is too small for one patch.
    """
    if len(shares) != group_size or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(f"shares={tuple(shares)} found; expected {group_size} positive numbers with sum 1")
    exact = [share * num_patches for share in shares]
    counts = [int(x) for x in exact]
    by_remainder = sorted(range(group_size), key=lambda g: counts[g] - exact[g])
    for g in by_remainder[: num_patches - sum(counts)]:
        counts[g] += 1
    if min(counts) < 1:
        raise ConfigError(f"shares={tuple(shares)} of {num_patches} patches leave a source without a patch")
    return counts


def mix(patches: Tensor, sources: Tensor, group_size: int) -> Tensor:
    """Mix each group of images into one (compose) or G (full) samples, Eq. (1): position l shows image M_l of its
    group.

    Args:
        patches: (B, L, C); group j holds images j*G .. (j+1)*G-1.
        sources: int64 (M, L), values 0..G-1; M = B/G (compose) or M = B (full).
        group_size: G = 1/r.

    Returns:
        (M, L, C).

    Raises:
        GroupSizeError: G does not divide B, or M fits neither mode.
    """
    groups = num_groups(patches.shape[0], group_size)
    rows, length = sources.shape
    if rows not in (groups, groups * group_size) or length != patches.shape[1]:
        raise GroupSizeError(
            f"sources of shape {tuple(sources.shape)} found for patches {tuple(patches.shape)} and group size "
            f"{group_size}; expected ({groups}, {patches.shape[1]}) or ({groups * group_size}, {patches.shape[1]})"
        )
    group = torch.arange(rows, device=sources.device) // (rows // groups)
    image = group[:, None] * group_size + sources
    return patches[image, torch.arange(length, device=sources.device)]


def unmix(tokens: Tensor, sources: Tensor, mask_token: Tensor, group_size: int) -> Tensor:
    """Undo the mixing, Eq. (3): one sequence per source, with its tokens at their positions and [MASK] at all others.

    Args:
        tokens: (M, L, C) features of the mixed samples.
        sources: int64 (M, L), values 0..G-1.
        mask_token: broadcastable to (C,), for example (1, 1, C).
        group_size: G = 1/r.

    Returns:
        (M*G, L, C). Row m*G+g is source g of mixed sample m; its target is image m*G+g (compose), (m//G)*G+g (full).
    """
    given = given_by(sources, group_size)
    unmixed = torch.where(given[..., None], tokens[:, None], mask_token.to(tokens.dtype).reshape(1, 1, 1, -1))
    return unmixed.flatten(0, 1)


def given_by(sources: Tensor, group_size: int) -> Tensor:
    """The indicator 1(M = i) of Eqs. (1), (3) and (4).

    Args:
        sources: int64 (M, L).
        group_size: G.

    Returns:
        bool (M, G, L); True where source g gave the patch at position l (visible), False where it is masked.
    """
    return sources[:, None, :] == torch.arange(group_size, device=sources.device)[None, :, None]


def target_images(num_mixed: int, batch_size: int, group_size: int, device: torch.device | None = None) -> Tensor:
    """Index, in the batch, of the image that each row m*G+g of an unmixed batch reconstructs.

    Args:
        num_mixed: M.
        batch_size: B.
        group_size: G.
        device: of the result.

    Returns:
        int64 (M*G,): m*G+g in compose mode (M = B/G), (m//G)*G+g in full mode (M = B).
    """
    groups = num_groups(batch_size, group_size)
    group = torch.arange(num_mixed, device=device) // (num_mixed // groups)
    return (group[:, None] * group_size + torch.arange(group_size, device=device)).flatten()
