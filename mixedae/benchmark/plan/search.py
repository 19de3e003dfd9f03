"""A search over hyper-parameters: the grid, its points, and which point is best."""

import re
from collections.abc import Mapping
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


class Search(Strict):
    """A grid of hyper-parameters. Each point is a training of its own; the best one's values are used.

    The best point has the best value of the card's first metric. Of equal points the first one of the grid wins; the
    first axis varies slowest.

    Attributes:
        axes: name to values.
        keys: key of the config to the axis that sets it, or to one axis divided by another (``wd / lr``).
        overlay: a variable of the recipe that holds out training pictures, on which the points are compared. The best
            point is then trained again without it. None: the points are compared on the reported pictures, and the
            best point's result is the task's result.
    """

    axes: Annotated[dict[Axis, Annotated[tuple[Number, ...], Field(min_length=1)]], Field(min_length=1)]
    keys: Annotated[dict[str, str], Field(min_length=1)]
    overlay: str | None = None

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

    def best(self, scores: Mapping[str, float | None], higher_is_better: bool) -> str | None:
        """The best point; None if every point diverged.

        Args:
            scores: every point's name to its metric; None if its training diverged.
            higher_is_better: the metric's direction.
        """
        left = {point: score for point in self.points if (score := scores[point]) is not None}
        if not left:
            return None
        return max(left, key=lambda point: left[point] if higher_is_better else -left[point])  # of equals the first


def _evaluate(text: str, at: Mapping[str, Number]) -> Number:
    over, _, under = (part.strip() for part in text.partition("/"))
    return at[over] / at[under] if under else at[over]


class Choice(Strict):
    """What a search found.

    Attributes:
        point: the best point's name.
        score: its first metric on the pictures that points are measured on.
        points: how many there were.
        diverged: how many of them diverged.
    """

    point: str
    score: float
    points: int
    diverged: int
