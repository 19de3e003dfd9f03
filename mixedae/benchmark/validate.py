"""What is wrong with a suite, before anything runs."""

from mixedae.benchmark.data import data_parts
from mixedae.benchmark.suites import Cell
from mixedae.benchmark.workspace import Workspace
from mixedae.errors import MixedAEError


def check_recipes(workspace: Workspace, cells: list[Cell]) -> list[MixedAEError]:
    """Configs that are absent or do not resolve."""
    problems = []
    for config, cell in {workspace.suite.config_of(cell): cell for cell in cells}.items():
        try:
            workspace.recipe(cell)
        except MixedAEError as error:
            problems.append(type(error)(f"{_user(workspace, config)}: {error}"))
    return problems


def _user(workspace: Workspace, config: str) -> str:
    """Who names a config: a task or a pre-training of the suite."""
    cells = [cell for cell in workspace.cells if workspace.suite.config_of(cell) == config]
    return f"task `{cells[0].task}`" if cells and cells[0].task else f"pre-training `{cells[0].pretraining}`"


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
