"""What a checkpoint format is: keys that mark it, and a function that gives its tensors mmpretrain's names."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


class Found(dict[str, Tensor]):
    """Tensors of a backbone by mmpretrain's names, which remember what they were made of.

    Attributes:
        sources: name to the names in the file; a name that is not there was the same in the file.
    """

    def __init__(self, tensors: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]] = ()) -> None:
        super().__init__(tensors)
        self.sources: dict[str, tuple[str, ...]] = {}

    def put(self, name: str, tensor: Tensor, *sources: str) -> None:
        """Add a tensor.

        Args:
            name: mmpretrain's.
            tensor: its value.
            *sources: names in the file.
        """
        self[name] = tensor
        self.sources[name] = sources

    def taken(self) -> set[str]:
        """Names in the file of all that was used."""
        return {source for name in self for source in self.sources.get(name, (name,))}


def without_distillation(embed: Tensor) -> Tensor:
    """Positions without the distillation token's, the second.

    Args:
        embed: (1, 2 + N, D).
    """
    return torch.cat((embed[:, :1], embed[:, 2:]), 1)


def put_joined(found: Found, tensors: Mapping[str, Tensor], part: re.Pattern[str], name: str) -> list[int]:
    """Join query, key and value, which are three tensors in a file; one that is not there is zero (BEiT's keys' bias).

    Args:
        found: is added to.
        tensors: of the file.
        part: matches the name of one of them, with the groups ``layer``, ``part`` (q..., k... or v...) and ``kind``.
        name: of the joined tensor, with ``{}`` for the layer's number and the kind.

    Returns:
        The layers' numbers.
    """
    groups: dict[tuple[int, str], dict[str, str]] = {}
    for source in tensors:
        if match := part.fullmatch(source):
            groups.setdefault((int(match["layer"]), match["kind"]), {})[match["part"][0]] = source
    for (layer, kind), sources in sorted(groups.items()):
        like = tensors[next(iter(sources.values()))]
        parts = [tensors[sources[p]] if p in sources else torch.zeros_like(like) for p in "qkv"]
        found.put(name.format(layer, kind), torch.cat(parts), *sources.values())
    return sorted({layer for layer, _ in groups})


def put_tables(found: Found, tensors: Mapping[str, Tensor], layers: Iterable[int], shared: str, own: str) -> bool:
    """Give each layer its table of relative positions, and zero absolute positions where a file has only tables.

    Args:
        found: is added to.
        tensors: of the file.
        layers: numbers.
        shared: name of a table that all layers share, as BEiT's pre-training has it.
        own: name of a layer's own, with ``{}`` for its number; (2S - 1)^2 + 3 rows for a grid of side S.

    Returns:
        Whether the file has tables.
    """
    rows = 0
    for i in layers:
        table = shared if shared in tensors else own.format(i)
        if table in tensors:
            rows = len(tensors[table])
            found.put(f"layers.{i}.attn.relative_position_bias_table", tensors[table], table)
    if rows and "pos_embed" not in found:
        side = (math.isqrt(rows - 3) + 1) // 2
        found.put("pos_embed", found["cls_token"].new_zeros(1, side * side + 1, found["cls_token"].shape[-1]))
    return rows > 0


@dataclass(frozen=True)
class Format:
    """A layout of ViT checkpoints.

    Attributes:
        name: what reports call it.
        mark: some key, from its beginning, matches this in every file of the format.
        unless: and no key matches this.
        convert: from the file's tensors, without prefix, to mmpretrain's names, and the format's name in full.
        source: where the names come from.
    """

    name: str
    mark: re.Pattern[str]
    convert: Callable[[Mapping[str, Tensor]], tuple[Found, str]]
    source: str
    unless: re.Pattern[str] | None = None

    def claims(self, names: Iterable[str]) -> bool:
        """Whether a file is of this format.

        Args:
            names: of its tensors, without prefix.
        """
        names = list(names)
        return any(map(self.mark.match, names)) and not (self.unless and any(map(self.unless.match, names)))
