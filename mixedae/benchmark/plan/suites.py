"""Suites: pre-trainings x tasks x seeds, and the cells that they name."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, TypeAdapter, ValidationError, model_validator

from mixedae.benchmark.plan.cards import DataPart, Metric, Name, TaskCard, load_card
from mixedae.benchmark.plan.cells import Cell, matching
from mixedae.benchmark.plan.published import Published, PublishedRef, load_published
from mixedae.benchmark.plan.recipe import Variant
from mixedae.benchmark.plan.schema import Strict, load_yaml
from mixedae.benchmark.plan.search import Search
from mixedae.errors import ConfigError
from mixedae.files import ROOT
from mixedae.wording import nearest

BENCHMARK = ROOT / "mm_configs" / "benchmark"
RANDOM = "random"  # the checkpoint argument of the explicit random baseline

Scalar = bool | int | float | str | None


class Pretraining(Strict):
    """One row of the table: a pre-training recipe, a checkpoint file, or random initialisation.

    Attributes:
        title: what the table prints; default: the name.
        config: pre-training config, relative to the repository's root.
        options: key of that config (``model.mask_ratio``) to its value in this row. ``base_lr`` sets the learning rate
            that follows from it. A key may be one that the config leaves out and its class accepts.
        checkpoint: instead of a config: a file, relative to the repository's root, in any format that loads.
        random: True instead of a config: a randomly initialised backbone.
        overlays: variables of the tasks' recipes that are merged over them for this row (another backbone).
        published: its counterpart in a published table.
        baseline: the pre-training to which its differences are taken, instead of the suite's.
    """

    title: str | None = None
    config: str | None = None
    options: dict[str, Scalar | tuple[Scalar, ...]] = {}
    checkpoint: str | None = None
    random: bool = False
    overlays: tuple[str, ...] = ()
    published: PublishedRef | None = None
    baseline: Name | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "Pretraining":
        if [self.config is not None, self.checkpoint is not None, self.random].count(True) != 1:
            raise ConfigError("give either `config: PATH`, `checkpoint: PATH` or `random: true`")
        if self.options and self.config is None:
            raise ConfigError("options change a `config: PATH`, and the row has none")
        return self


class TaskRef(Strict):
    """A task of a suite: its card (a plain name will do), and a config that replaces the card's recipe."""

    task: Name
    config: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain_name(cls, data: Any) -> Any:
        return {"task": data} if isinstance(data, str) else data


class Average(Strict):
    """A last column: the mean of every task's first metric, for the seeds that have all of them.

    Attributes:
        published: column of the published tables that holds it.
    """

    published: str | None = None


class Suite(Strict):
    """What to compare.

    Attributes:
        title: one line for people.
        notes: footnotes of the table.
        watermark: printed with every rendering of the table.
        pretrainings: the rows, in order.
        pretraining_data: what every pre-training reads; the same for all, or the comparison would not be one.
        baseline: the pre-training to which differences are taken.
        published_rows: rows of published tables that stand beside ours.
        tasks: card names, or ``{task: NAME, config: PATH}``.
        overlays: variables of every task's recipe that are merged over it, after the card's own.
        search: of every task whose card has none.
        average: whether a mean over the tasks is the last column.
        seeds: each seed pre-trains once and transfers once.
        workers: cells that run at the same time; the cores are shared between them.
    """

    title: str
    notes: tuple[str, ...] = ()
    watermark: str | None = None
    pretrainings: Annotated[dict[Name, Pretraining], Field(min_length=1)]
    pretraining_data: DataPart | None = None
    baseline: Name | None = None
    published_rows: tuple[PublishedRef, ...] = ()
    tasks: Annotated[tuple[TaskRef, ...], Field(min_length=1)]
    overlays: tuple[str, ...] = ()
    search: Search | None = None
    average: Average | None = None
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    workers: Annotated[int, Field(ge=1)] = 1
    _path: Path = PrivateAttr(default=Path())
    _cards: dict[str, TaskCard] = PrivateAttr(default_factory=dict)
    _published: Published = PrivateAttr(default_factory=lambda: Published(tables={}))

    @model_validator(mode="after")
    def _consistent(self) -> "Suite":
        for baseline in (self.baseline, *(pretraining.baseline for pretraining in self.pretrainings.values())):
            if baseline is not None and baseline not in self.pretrainings:
                raise ConfigError(f"baseline `{baseline}` is no pre-training; {nearest(baseline, self.pretrainings)}")
        if self.pretraining_data is None and any(p.config for p in self.pretrainings.values()):
            raise ConfigError(
                "pretraining_data is missing: say which data the pre-trainings read, {name: NAME, paths: [...]}"
            )
        names = [ref.task for ref in self.tasks]
        for what, items in (("task", names), ("seed", [str(seed) for seed in self.seeds])):
            if twice := [item for item in items if items.count(item) > 1]:
                raise ConfigError(f"{what} `{twice[0]}` is listed twice")
        return self

    @property
    def name(self) -> str:
        """The file's stem: the folder of the suite's results."""
        return self._path.stem

    @property
    def path(self) -> Path:
        """The suite's file."""
        return self._path

    @property
    def cards(self) -> dict[str, TaskCard]:
        """The tasks' cards by name, in the suite's order."""
        return self._cards

    @property
    def average_metric(self) -> Metric | None:
        """The average over the tasks as a metric; None if the suite asks for none."""
        if self.average is None:
            return None
        higher = next(iter(self.cards.values())).metrics[0].higher_is_better
        return Metric(key="average", name="average", higher_is_better=higher, published=self.average.published)

    @property
    def published(self) -> Published:
        """The published numbers beside the suite."""
        return self._published

    def title_of(self, pretraining: str) -> str:
        """What the table prints for a pre-training."""
        return self.pretrainings[pretraining].title or pretraining

    def baseline_of(self, pretraining: str) -> str | None:
        """The pre-training to which the differences of another are taken; None for a baseline itself."""
        if any(other.baseline == pretraining for other in self.pretrainings.values()):
            return None
        baseline = self.pretrainings[pretraining].baseline or self.baseline
        return None if baseline == pretraining else baseline

    def distinct_title(self, pretraining: str) -> str:
        """The title outside the blocks of epochs: followed by the name if several rows share the title."""
        titles = [self.title_of(name) for name in self.pretrainings]
        title = self.title_of(pretraining)
        return f"{title} ({pretraining})" if titles.count(title) > 1 else title

    def with_checkpoints(self, files: Mapping[str, Path]) -> "Suite":
        """This suite with checkpoint files instead of pre-trainings, or as further rows.

        Args:
            files: a pre-training of the suite, or a new name, to a file.

        Raises:
            ConfigError: a name that no row can have.
        """
        rows = dict(self.pretrainings)
        for name, file in files.items():
            try:
                TypeAdapter(Name).validate_python(name)
            except ValidationError:
                raise ConfigError(f"--checkpoint {name}: a row's name has small letters, digits, - and _") from None
            source: dict[str, Any] = {"config": None, "options": {}, "random": False, "checkpoint": str(file)}
            rows[name] = rows[name].model_copy(update=source) if name in rows else Pretraining(checkpoint=str(file))
        return self.model_copy(update={"pretrainings": rows})

    def search_of(self, task: str) -> Search | None:
        """How a task's hyper-parameters are chosen; None if the recipe's are taken as they are."""
        return self.cards[task].search or self.search

    def config_of(self, cell: Cell) -> str:
        """The config that a cell trains, relative to the repository's root."""
        if cell.task is None:
            return self.pretrainings[cell.pretraining].config or ""
        override = next(ref.config for ref in self.tasks if ref.task == cell.task)
        return override or self.cards[cell.task].recipe

    def variant_of(self, cell: Cell, point: str | None) -> Variant:
        """What a cell trains.

        Args:
            cell: the cell.
            point: which point of its search; None without a search, or if it is not known yet.
        """
        if cell.task is None:
            return Variant(self.config_of(cell), options=tuple(self.pretrainings[cell.pretraining].options.items()))
        search = self.search_of(cell.task)
        overlays = (*self.cards[cell.task].overlays, *self.overlays, *self.pretrainings[cell.pretraining].overlays)
        options: dict[str, Any] = {}
        if search is not None:
            overlays += (search.overlay,) if search.overlay and cell.point else ()
            options = search.points[point] if point else {}
        return Variant(self.config_of(cell), overlays, tuple(options.items()))

    def data_of(self, cell: Cell) -> DataPart:
        """What a cell reads."""
        if cell.task is not None:
            return self.cards[cell.task].data
        assert self.pretraining_data is not None  # checked when the suite was read
        return self.pretraining_data

    def cells(self, seeds: tuple[int, ...] | None = None) -> list[Cell]:
        """All cells, seed by seed: pre-trainings first, then the transfers that wait for them, searches before each."""
        cells = []
        for seed in self.seeds if seeds is None else seeds:
            trained = [name for name, pretraining in self.pretrainings.items() if pretraining.config]
            cells += [Cell(name, None, seed) for name in trained]
            for task in self.cards:
                search = self.search_of(task)
                points = (*search.points, None) if search else (None,)
                cells += [Cell(name, task, seed, point) for name in self.pretrainings for point in points]
        return cells

    def parent_of(self, cell: Cell) -> Cell | None:
        """The pre-training cell that a transfer waits for; None for what starts from a file or at random."""
        if cell.task is None or self.pretrainings[cell.pretraining].config is None:
            return None
        return Cell(cell.pretraining, None, cell.seed)

    def points_of(self, cell: Cell) -> list[Cell]:
        """The trainings of a task's search, whose results decide what the task's own cell trains; else empty."""
        search = self.search_of(cell.task) if cell.task and cell.point is None else None
        if search is None:
            return []
        return [replace(cell, point=point) for point in search.points]

    def needs_of(self, cell: Cell) -> list[Cell]:
        """Every cell that must end before this one starts."""
        parent = self.parent_of(cell)
        return [*([parent] if parent else []), *self.points_of(cell)]

    def select(self, cells: list[Cell], pattern: str | None) -> list[Cell]:
        """The cells that match ``pattern``, with those that they need.

        Raises:
            ConfigError: nothing matches.
        """
        wanted: set[Cell] = set()
        open_ = list(matching(cells, pattern))
        while open_:
            cell = open_.pop()
            if cell not in wanted:
                wanted.add(cell)
                open_ += self.needs_of(cell)
        return [cell for cell in cells if cell in wanted]


def load_suite(path: Path) -> Suite:
    """Read a suite, its cards and the published numbers that its pre-trainings name.

    Cards are looked up in ``../tasks`` beside the suite's folder, then among the project's own.

    Raises:
        ConfigError: the suite, one of its cards or a reference to a published row is wrong.
    """
    suite = load_yaml(path, Suite)
    own = path.resolve().parent.parent
    suite._path = path.resolve()
    for ref in suite.tasks:
        beside = own / "tasks" / f"{ref.task}.yaml"
        suite._cards[ref.task] = load_card(beside if beside.is_file() else BENCHMARK / "tasks" / f"{ref.task}.yaml")
        if suite.search is not None and suite._cards[ref.task].search is None:
            suite._cards[ref.task].check_search(suite.search)
    if suite.average is not None and len({card.metrics[0].higher_is_better for card in suite.cards.values()}) > 1:
        raise ConfigError(f"{path}: no average over metrics of which some are better when lower")
    beside = own / "published.yaml"
    suite._published = load_published(beside if beside.is_file() else BENCHMARK / "published.yaml")
    refs = [pretraining.published for pretraining in suite.pretrainings.values() if pretraining.published]
    for published in (*refs, *suite.published_rows):
        suite._published.row(published)
    return suite
