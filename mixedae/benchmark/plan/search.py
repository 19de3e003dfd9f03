"""A search over hyper-parameters as data: the grid, its points, and which of them is chosen. No files, no processes."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from mixedae.benchmark.plan.schema import Strict
from mixedae.errors import ConfigError
from mixedae.wording import nearest

Number = int | float
Axis = Annotated[str, StringConstraints(pattern=r"^[a-z]\w*$")]
TERM = re.compile(r"(\w+)(?:\s*/\s*(\w+))?")  # `lr`, or `wd / lr`


@dataclass(frozen=True)
class Slot:
    """One training of a search.

    Attributes:
        name: its folder below ``search``: the point's name, or ``rung_2/place_1`` where results say which point.
        rung: from 1; without halving there is one.
        share: of the recipe's steps.
        point: of the grid; None in later rungs.
        place: in the rung, from 0: the points that are kept stand in the order of the grid.
    """

    name: str
    rung: int
    share: float
    point: str | None
    place: int


class Search(Strict):
    """A grid of hyper-parameters. Each point is a training of its own; the best one's values are used.

    Best is the card's first metric; of equal points the first one of the grid wins, the first axis varying slowest.

    Attributes:
        axes: name to values.
        keys: key of the config to the axis that sets it, or to one axis divided by another (``wd / lr``).
        overlay: variable of the recipe that holds out pictures for the choice; the best point is then trained anew
            without it. None: points are measured on what is reported, and the best of them is the result.
        halving: successive halving: every point is trained with a part of the steps, the better half with twice as
            many, and so on until two or fewer are left, which get all (arXiv:1502.07943).
    """

    axes: Annotated[dict[Axis, Annotated[tuple[Number, ...], Field(min_length=1)]], Field(min_length=1)]
    keys: Annotated[dict[str, str], Field(min_length=1)]
    overlay: str | None = None
    halving: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "Search":
        used = set()
        for key, text in self.keys.items():
            found = TERM.fullmatch(text.strip())
            if found is None:
                raise ConfigError(
                    f"search.keys.{key} is `{text}`; expected an axis, or one divided by another: wd / lr"
                )
            for axis in filter(None, found.groups()):
                if axis not in self.axes:
                    raise ConfigError(f"search.keys.{key} names the axis `{axis}`; {nearest(axis, self.axes)}")
                used.add(axis)
            if found.group(2) and 0 in self.axes[found.group(2)]:
                raise ConfigError(f"search.keys.{key} divides by `{found.group(2)}`, which may be 0")
        if idle := [axis for axis in self.axes if axis not in used]:
            raise ConfigError(f"the axis `{idle[0]}` sets no key of the config; search.keys names {', '.join(used)}")
        for axis, values in self.axes.items():
            names = [f"{value:g}" for value in values]
            if twice := [name for name in names if names.count(name) > 1]:
                raise ConfigError(f"the axis `{axis}` has {twice[0]} twice")
        return self

    @cached_property
    def points(self) -> dict[str, dict[str, Number]]:
        """Name to what the point sets, in the order of the grid: ``lr-0.01_wd-1e-05`` to key and value."""
        found = {}
        for values in product(*self.axes.values()):
            at = dict(zip(self.axes, values, strict=True))
            name = "_".join(f"{axis}-{value:g}" for axis, value in at.items())
            found[name] = {key: _evaluate(text, at) for key, text in self.keys.items()}
        return found

    @cached_property
    def slots(self) -> dict[str, Slot]:
        """Every training of the search by name, rung by rung."""
        size, rungs = len(self.points), 1
        if self.halving:
            rungs = max(1, math.ceil(math.log2(size)))
        found: dict[str, Slot] = {}
        for rung in range(1, rungs + 1):
            share, folder = 0.5 ** (rungs - rung), f"rung_{rung}/" if self.halving else ""
            for place, point in enumerate(list(self.points)[:size]):
                name = f"{folder}{point if rung == 1 else f'place_{place + 1}'}"
                found[name] = Slot(name, rung, share, point if rung == 1 else None, place)
            size = math.ceil(size / 2)
        return found

    def rung(self, number: int) -> list[Slot]:
        """The trainings of one rung; -1 is the last."""
        slots = self.slots.values()
        wanted = max(slot.rung for slot in slots) + 1 + number if number < 0 else number
        return [slot for slot in slots if slot.rung == wanted]

    def best(self, scores: Mapping[str, float | None], keep: int, higher_is_better: bool) -> list[str]:
        """The best points, in the order of the grid; fewer than ``keep`` where more diverged.

        Args:
            scores: point to its metric; None where it diverged.
            keep: how many.
            higher_is_better: the metric's direction.
        """
        order = list(self.points)
        left = [(point, score) for point, score in scores.items() if score is not None]
        left.sort(key=lambda item: (-item[1] if higher_is_better else item[1], order.index(item[0])))
        return sorted((point for point, _ in left[:keep]), key=order.index)


def _evaluate(text: str, at: Mapping[str, Number]) -> Number:
    over, _, under = (part.strip() for part in text.partition("/"))
    return at[over] / at[under] if under else at[over]


class Choice(Strict):
    """What a search found.

    Attributes:
        point: the best point's name.
        score: its first metric on the pictures that points are measured on.
        points: how many there were.
        diverged: how many trainings of them diverged.
        halving: whether only some were trained with all steps.
    """

    point: str
    score: float
    points: int
    diverged: int
    halving: bool
