"""How the trainer is called for a cell: command line and environment."""

import hashlib
import sys
from collections.abc import Sequence

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.recipe import limit_options
from mixedae.benchmark.plan.suites import RANDOM
from mixedae.benchmark.store.survey import Survey
from mixedae.benchmark.store.workspace import Workspace
from mixedae.errors import ConfigError

TRAINER = (sys.executable, "tools/train.py")
# Nobody loads the weights of a point: the best point of a search is trained again.
UNSAVED = ("default_hooks.checkpoint.interval=-1", "default_hooks.checkpoint.save_last=False")


def command_of(survey: Survey, trainer: Sequence[str], cell: Cell, resume: bool = False) -> tuple[str, ...]:
    """The command line of a cell, to be run in the repository's root.

    Args:
        survey: of the suite's folder.
        trainer: interpreter and script.
        cell: the cell.
        resume: whether it goes on from its last checkpoint.

    Raises:
        ResultsError: the cell's pre-training is not done, so there are no weights to name.
        WeightsError: the checkpoint file is absent.
        ConfigError: the weights' path cannot be given to mmengine.
    """
    workspace, variant, recipe = survey.workspace, survey.variant(cell), survey.recipe(cell)
    options = [f"randomness.seed={cell.seed}"]
    if cell.task is not None:
        options.append(f"model.backbone.init_cfg.checkpoint={_weights(survey, cell)}")
        search = workspace.suite.search_of(cell.task)
        options += UNSAVED if search and search.overlay and cell.point and recipe.saves else ()
    options += [f"{key}={value}" for key, value in recipe.options]
    if workspace.limit is not None:
        options += limit_options(recipe, workspace.limit, workspace.launch.world_size)
    command = [*workspace.launch.command(trainer, hashlib.sha256(cell.name.encode()).hexdigest()), variant.config]
    command += ["--work-dir", str(workspace.dir(cell))]
    command += [part for overlay in variant.overlays for part in ("--overlay", overlay)]
    command += [*workspace.launch.arguments(), *(["--resume"] if resume else [])]
    return (*command, "--cfg-options", *options)


def _weights(survey: Survey, cell: Cell) -> str:
    path, workspace = survey.weights(cell), survey.workspace
    if path is None:
        return RANDOM
    if path.is_relative_to(workspace.root):
        path = path.relative_to(workspace.root)
    if odd := set(" ,[](){}'\"") & set(str(path)):  # --cfg-options would drop blanks and make lists of the rest
        cure = "a --work-dir" if workspace.suite.parent_of(cell) else "a place for the file"
        raise ConfigError(f"{path} has {' '.join(map(repr, sorted(odd)))} in it; choose {cure} without")
    return str(path)


def environment(workspace: Workspace, threads: int) -> dict[str, str]:
    """The children's variables: data folders, threads, and what must be set before Python and cuBLAS start."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "PYTHONHASHSEED": "0",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTHONUNBUFFERED": "1",
        **workspace.data.environment(),
    }
