"""What is wrong with a suite, before anything runs."""

import contextlib
import io
import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from mixedae.benchmark.plan.cards import DataPart, Metric
from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.imported import check_imports
from mixedae.benchmark.plan.recipe import Recipe
from mixedae.benchmark.store.data_roots import data_parts
from mixedae.benchmark.store.survey import Survey
from mixedae.benchmark.store.workspace import Workspace
from mixedae.datasets.listing import PICTURE_SUFFIXES, pictures_under
from mixedae.errors import ConfigError, DataError, MixedAEError
from mixedae.wording import nearest

TRANSFERRED = re.compile(r"(^|[^i])ViT$|VisionTransformer$|ResNet$")
"""Names of encoders that the transfers take: plain ViTs (HiViT is none) and ResNets."""


def problems_of(workspace: Workspace, cells: list[Cell]) -> list[MixedAEError]:
    """Everything that is wrong with the recipes, checkpoint files and data of cells."""
    return [
        *check_recipes(workspace, cells),
        *check_checkpoints(workspace, cells),
        *check_data(workspace, cells),
        *check_counts(workspace, cells),
    ]


def check_recipes(workspace: Workspace, cells: list[Cell]) -> list[MixedAEError]:
    """Configs that are absent or do not resolve, overlays and keys that they do not have, or their classes refuse."""
    problems: dict[str, MixedAEError] = {}
    survey = Survey(workspace)
    for cell in {survey.variant(cell): cell for cell in reversed(cells)}.values():
        try:
            recipe = survey.recipe(cell)
            _check_imports(recipe)
            _check_added(recipe)
            _check_harness(recipe, survey.variant(cell).config)
            _check_encoder(recipe, survey.variant(cell).config, workspace.suite.cards if cell.task is None else ())
            _check_metrics(recipe, workspace.suite.cards[cell.task].metrics if cell.task else ())
            _check_reads(recipe, survey.variant(cell).config, workspace.suite.data_of(cell))
        except MixedAEError as error:
            user = f"task `{cell.task}`" if cell.task else f"pre-training `{cell.pretraining}`"
            problems[str(error)] = type(error)(f"{user}: {error}")
    return list(problems.values())


def _check_harness(recipe: Recipe, config: str) -> None:
    """Refuse a config whose training would leave nothing that can be read.

    Raises:
        ConfigError: naming the hooks that it lacks.
    """
    if recipe.lacks:
        hooks = ", ".join(f"dict(type='{name}')" for name in recipe.lacks)
        raise ConfigError(
            f"{config} lacks {', '.join(recipe.lacks)}: a suite reads each run by what these leave. Add {hooks} to its "
            "custom_hooks, or inherit mm_configs/_base_/default_runtime.py"
        )


def _check_encoder(recipe: Recipe, config: str, tasks: Collection[str]) -> None:
    """Refuse a pre-training whose encoder no transfer takes; a class of a user's own module is the user's to know.

    Raises:
        ConfigError: naming the encoder.
    """
    name = recipe.encoder.split(".")[-1]
    if tasks and name and not recipe.modules and not TRANSFERRED.search(name):
        raise ConfigError(
            f"{config} pre-trains a {name}, which no transfer takes ({', '.join(tasks)}): expected a plain ViT or a "
            "ResNet. Take out the tasks, or the row"
        )


def _check_metrics(recipe: Recipe, metrics: Sequence[Metric]) -> None:
    """Refuse a card's metric that the recipe's evaluators do not measure, where they say what they measure.

    Raises:
        ConfigError: with the nearest key.
    """
    for metric in metrics:
        if recipe.measures is not None and metric.key not in recipe.measures:
            raise ConfigError(
                f"the card's metric `{metric.key}` is not measured by its recipe; "
                f"{nearest(metric.key, recipe.measures)}"
            )


def _check_reads(recipe: Recipe, config: str, part: DataPart) -> None:
    """Refuse a claim about data that the config's loaders do not read: its fingerprint would be of other pictures.

    Raises:
        ConfigError: naming both.
    """
    root = PurePosixPath(part.folder or f"data/{part.name}")
    said = [root / path for path in part.paths] or [root]
    for read in map(PurePosixPath, recipe.reads):
        if not any(read.is_relative_to(path) or path.is_relative_to(read) for path in said):
            raise ConfigError(
                f"{config} reads {read}, but the data is said to be `{part.name}`, "
                f"{', '.join(map(str, said))}: correct pretraining_data or the card's data, or take another config"
            )


def _check_imports(recipe: Recipe) -> None:
    """Import a user's own modules, which a training would fail without.

    Raises:
        ConfigError: one cannot be imported.
    """
    if recipe.modules:
        with contextlib.redirect_stdout(io.StringIO()):
            check_imports(recipe.modules)


def _check_added(recipe: Recipe) -> None:
    """Ask the classes whether they accept the options that the config leaves out; torch is imported for nothing else.

    Raises:
        ConfigError: one does not; the message has the nearest key that it accepts.
    """
    if recipe.added:
        with contextlib.redirect_stdout(io.StringIO()):  # imports print which optional packages are not here
            from mixedae.engine.preflight.keys import check_keys

            for option, kind in recipe.added:
                path, _, key = option.rpartition(".")
                check_keys(path, kind, [key])


def check_checkpoints(workspace: Workspace, cells: list[Cell]) -> list[MixedAEError]:
    """Checkpoint files that are absent."""
    problems: list[MixedAEError] = []
    for cell in {cell.pretraining: cell for cell in cells}.values():
        try:
            workspace.checkpoint_file(cell.pretraining)
        except MixedAEError as error:
            problems.append(error)
    return problems


def check_data(workspace: Workspace, cells: list[Cell]) -> list[MixedAEError]:
    """Data that is absent, incomplete or laid out in another way; nothing is decoded."""
    problems: list[MixedAEError] = []
    wanted = {workspace.suite.data_of(cell) for cell in cells}
    for part in (part for part in dict.fromkeys(data_parts(workspace.suite)) if part in wanted):
        try:
            workspace.data.check(part)
        except MixedAEError as error:
            if str(error) not in map(str, problems):
                problems.append(error)
    return problems


def check_counts(workspace: Workspace, cells: list[Cell]) -> list[MixedAEError]:
    """Splits with fewer pictures than their card says: a download that broke off trains, and gives a number.

    A recipe may take a part of a folder, so more pictures are no fault. With ``--limit`` nothing is counted.
    """
    if workspace.limit is not None:
        return []
    problems: list[MixedAEError] = []
    for task in dict.fromkeys(cell.task for cell in cells if cell.task):
        card = workspace.suite.cards[task]
        layout = card.data.layout
        if layout is None:
            continue
        root = workspace.data.root_of(card.data) / layout.folder
        for split, expected in card.splits.items():
            folder = root / "images" / split if layout.kind == "ade20k" else root / split
            if not folder.is_dir():
                continue  # a list of another name, or absent, which check_data says
            found = sum(1 for _ in pictures_under(folder, PICTURE_SUFFIXES))
            if found < expected:
                problems.append(
                    DataError(
                        f"task `{task}`: {found} pictures in {folder}, the card says {expected}; is the download whole?"
                    )
                )
    return problems
