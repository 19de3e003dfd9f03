"""What a checkpoint format is: keys that mark it, and a function that gives its tensors mmpretrain's names."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mixedae.errors import WeightsError


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


def refuse_registers(tensors: Iterable[str], *names: str) -> None:
    """Refuse register tokens, for which this ViT has no place.

    Args:
        tensors: names in the file.
        *names: what the format calls them.

    Raises:
        WeightsError: the file has one of these.
    """
    if found := [name for name in tensors if name in names]:
        raise WeightsError(
            f"{found[0]} found: this ViT has no register tokens, and without them the features would be others; "
            "take weights of a model without registers"
        )


def without_distillation(embed: Tensor) -> Tensor:
    """Positions without the distillation token's, the second.

    Args:
        embed: (1, 2 + N, D).
    """
    return torch.cat((embed[:, :1], embed[:, 2:]), 1)


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
