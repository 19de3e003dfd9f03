"""Task cards: what is measured, on which data and by which recipe. A card is data, not code."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from mixedae.benchmark.plan.schema import Strict, load_yaml
from mixedae.benchmark.plan.search import Search
from mixedae.errors import ConfigError, ResultsError

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
HELD_OUT = "held_out"
PRETRAIN = "pretrain"  # the folder of a pre-training cell, hence no name for a task


class Layout(Strict):
    """How data must lie, for the check before anything runs.

    Attributes:
        kind: ``imagenet`` (folders of classes), ``ade20k`` (pictures and masks), ``coco`` (instances in JSON).
        folder: where, below the data's root.
        splits: which of its splits; default: the two of training and validation.
    """

    kind: Literal["imagenet", "ade20k", "coco"]
    folder: str = "."
    splits: tuple[str, ...] | None = None


class DataPart(Strict):
    """Which files a cell reads: they are fingerprinted, and the fingerprint is a part of the cell's cache key.

    Attributes:
        name: data root (``mini``, ``imagenet``, ...); ``--data NAME=DIR`` or ``MIXEDAE_DATA_<NAME>`` says where it is.
        paths: files and folders below the root. Empty: all of it.
        layout: how they must lie.
        folder: where they are looked for, relative to the repository's root; default ``data/<name>``.
    """

    name: Name
    paths: tuple[str, ...] = ()
    layout: Layout | None = None
    folder: str | None = None


class Metric(Strict):
    """One number that a task yields.

    Attributes:
        key: name in the run's metrics, as the library spells it (``accuracy/top1``, ``mIoU``, ``coco/bbox_mAP``).
        name: what the table prints.
        higher_is_better: the direction.
        scale: factor from the library's unit to the table's (100 for COCO AP, which pycocotools gives in 0..1).
        zero_when_absent: mmdet's CocoMetric leaves the key out when nothing was detected; that is AP 0.
        published: column of ``published.yaml`` that holds this number, if any.
        tolerance: how close counts as reproduced, in the table's unit.
        tolerance_source: where the tolerance comes from.
    """

    key: str
    name: str
    higher_is_better: bool = True
    scale: float = 1.0
    zero_when_absent: bool = False
    published: str | None = None
    tolerance: float | None = Field(default=None, gt=0)
    tolerance_source: str | None = None

    def read(self, metrics: dict[str, Any]) -> float:
        """This metric's value in the table's unit.

        Args:
            metrics: the last validation's metrics as the run recorded them.

        Raises:
            ResultsError: the key is absent, or the value is not a finite number >= 0 (-1: no ground truth).
        """
        if self.key not in metrics:
            if self.zero_when_absent:
                return 0.0
            raise ResultsError(
                f"the run measured no `{self.key}`; it measured: {', '.join(sorted(metrics)) or 'nothing'}"
            )
        raw = metrics[self.key]
        value = raw * self.scale if isinstance(raw, int | float) else -1.0
        if not 0 <= value < float("inf"):
            raise ResultsError(f"`{self.key}` is {raw}; expected a finite number that is not negative")
        return round(value, 6)


class TaskCard(Strict):
    """A transfer task.

    Attributes:
        name: the file's stem.
        title: one line for people.
        dataset: full name of the data and its version or origin.
        data: what is read.
        splits: pictures in each split, as the recipe uses them.
        evaluated_on: the split that the numbers are measured on.
        selected_on: the split, held out from the training data, that settings were chosen on, if any were;
            ``held_out`` is drawn from the training data by the recipe and has no count of its own.
        metrics: what is measured; one training may yield several numbers.
        protocol: what is trained, in one sentence.
        version: raised whenever a change moves the numbers; a part of the cache key.
        recipe: config path, relative to the repository's root.
        overlays: variables of the recipe that are merged over it, in order.
        search: the hyper-parameters that are chosen for every pre-training by itself.
    """

    name: Name
    title: str
    dataset: str
    data: DataPart
    splits: dict[str, int]
    evaluated_on: str = "val"
    selected_on: str | None = None
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1)]
    protocol: str
    version: Annotated[int, Field(ge=1)] = 1
    recipe: str
    overlays: tuple[str, ...] = ()
    search: Search | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "TaskCard":
        if self.evaluated_on not in self.splits:
            raise ConfigError(f"evaluated_on names `{self.evaluated_on}`, the splits are {', '.join(self.splits)}")
        if self.selected_on not in (None, HELD_OUT, *self.splits):
            raise ConfigError(f"selected_on names `{self.selected_on}`, the splits are {', '.join(self.splits)}")
        if self.selected_on == self.evaluated_on:
            raise ConfigError(f"settings chosen on `{self.evaluated_on}` cannot be measured on it; hold out other data")
        if len({metric.key for metric in self.metrics}) < len(self.metrics):
            raise ConfigError("two metrics have the same key")
        if self.name == PRETRAIN:
            raise ConfigError(f"`{PRETRAIN}` is the folder of pre-training cells; choose another name")
        if self.search is not None:
            self.check_search(self.search)
        return self

    def check_search(self, search: Search) -> None:
        """Check that the card says which pictures a search chooses on.

        Raises:
            ConfigError: it names a split and the search holds none out, or the other way round.
        """
        if search.overlay is not None and self.selected_on is None:
            raise ConfigError(
                f"{self.name}: a search by `{search.overlay}` needs selected_on, the split that it holds out"
            )
        if search.overlay is None and self.selected_on is not None:
            raise ConfigError(
                f"{self.name}: a search without an overlay chooses on `{self.evaluated_on}`, not on the card's "
                f"selected_on `{self.selected_on}`"
            )

    def measured_on(self, point: bool) -> str:
        """The split that a training is measured on: a point of a search, or what is reported."""
        return self.selected_on if point and self.selected_on is not None else self.evaluated_on


def load_card(path: Path) -> TaskCard:
    """Read a task card.

    Raises:
        ConfigError: the card is absent or wrong, or its name is not the file's.
    """
    card = load_yaml(path, TaskCard)
    if card.name != path.stem:
        raise ConfigError(f"{path}: name is `{card.name}`; expected `{path.stem}`, the file's own name")
    return card
