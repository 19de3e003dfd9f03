"""What is wrong with a suite, before anything runs."""

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.store.data_roots import data_parts
from mixedae.benchmark.store.survey import Survey
from mixedae.benchmark.store.workspace import Workspace
from mixedae.errors import MixedAEError


def problems_of(workspace: Workspace, cells: list[Cell]) -> list[MixedAEError]:
    """Everything that is wrong with the recipes, checkpoint files and data of cells."""
    return [*check_recipes(workspace, cells), *check_checkpoints(workspace, cells), *check_data(workspace, cells)]


def check_recipes(workspace: Workspace, cells: list[Cell]) -> list[MixedAEError]:
    """Configs that are absent or do not resolve, overlays and keys that they do not have."""
    problems: dict[str, MixedAEError] = {}
    survey = Survey(workspace)
    for variant in {survey.variant(cell): None for cell in cells}:
        try:
            workspace.recipe(variant)
        except MixedAEError as error:
            problem = type(error)(f"{_user(workspace, variant.config)}: {error}")
            problems.setdefault(str(problem), problem)
    return list(problems.values())


def _user(workspace: Workspace, config: str) -> str:
    """Who names a config: a task or a pre-training of the suite."""
    cells = [cell for cell in workspace.cells if workspace.suite.config_of(cell) == config]
    return f"task `{cells[0].task}`" if cells and cells[0].task else f"pre-training `{cells[0].pretraining}`"


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
