"""What ``tools/bench.py`` does: each command takes parsed arguments and returns an exit status."""

from argparse import Namespace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mixedae.benchmark.cards import load_card
from mixedae.benchmark.data import parse_roots
from mixedae.benchmark.suites import BENCHMARK, ROOT, Cell, Suite, load_suite
from mixedae.benchmark.workspace import Workspace
from mixedae.errors import ConfigError


def find_suite(name: str) -> Path:
    """A suite by path, or by the name of one of the project's own."""
    path = Path(name)
    return path if path.suffix in (".yaml", ".yml") else BENCHMARK / "suites" / f"{name}.yaml"


def parse_seeds(text: str | None) -> tuple[int, ...] | None:
    """``0,1,2`` as a tuple.

    Raises:
        ConfigError: something else was given.
    """
    if text is None:
        return None
    try:
        seeds = tuple(dict.fromkeys(int(seed) for seed in text.split(",")))
    except ValueError:
        seeds = (-1,)
    if min(seeds) < 0:
        raise ConfigError(f"--seeds {text}: expected whole numbers from 0, like 0,1,2")
    return seeds


def _workspace(args: Namespace, suite: Suite, need_data: bool = True, disk_seeds: bool = False) -> Workspace:
    folder = Path(args.work_dir) if args.work_dir else None
    seeds, data = parse_seeds(args.seeds), parse_roots(args.data, suite)
    if seeds is None and disk_seeds:
        base = folder or ROOT / "work_dirs" / suite.name
        found = {int(path.parent.name[5:]) for path in base.glob("*/*/seed_*/result.json")}
        seeds = tuple(sorted(found | set(suite.seeds)))
    return Workspace(suite, folder, data, seeds, need_data=need_data)


def do_ls(args: Namespace, console: Console) -> int:
    """List the project's suites and tasks."""
    suites, tasks = Table("suite", "compares", "tasks", "seeds", box=None), Table("task", "measures", "data", box=None)
    for path in sorted((BENCHMARK / "suites").glob("*.yaml")):
        suite = load_suite(path)
        names = (", ".join(suite.pretrainings), ", ".join(suite.cards), ", ".join(map(str, suite.seeds)))
        suites.add_row(*map(Text, (suite.name, *names)))
    for path in sorted((BENCHMARK / "tasks").glob("*.yaml")):
        card = load_card(path)
        metrics = ", ".join(metric.name for metric in card.metrics)
        tasks.add_row(*map(Text, (card.name, metrics, f"{card.dataset} ({card.data.name})")))
    console.print(suites, "", tasks, sep="\n")
    return 0


def do_validate(args: Namespace, console: Console) -> int:
    """Check a suite's cards, configs and data; every problem is printed."""
    from mixedae.benchmark.validate import check_data, check_recipes

    workspace = _workspace(args, load_suite(find_suite(args.suite)))
    problems = check_recipes(workspace, workspace.cells) + check_data(workspace, workspace.cells)
    for problem in problems:
        console.print(f"error: {type(problem).__name__}: {problem}", markup=False, highlight=False, soft_wrap=True)
    if not problems:
        console.print(f"{workspace.suite.name}: {len(workspace.cells)} cells; cards, configs and data are in order")
    return int(bool(problems))


def do_run(args: Namespace, console: Console) -> int:
    """Run what is not done; ``--dry-run`` only says what that is."""
    from mixedae.benchmark.board import make_board
    from mixedae.benchmark.runner import SuiteRunner
    from mixedae.benchmark.validate import check_data, check_recipes

    workspace = _workspace(args, load_suite(find_suite(args.suite)))
    cells = workspace.suite.select(workspace.cells, args.only)
    for problem in check_recipes(workspace, cells) + check_data(workspace, cells):
        raise problem
    if args.dry_run:
        return _dry_run(workspace, cells, console)
    workspace.remember_roots()
    runner = SuiteRunner(workspace, make_board(console, workspace.suite.title))
    status = runner.run(cells)
    for view in runner.views.values():
        if view.state == "failed":
            log = workspace.dir(view.cell) / "log.txt"
            text = f"failed: {view.cell.name}: {view.reason}\n        log: {log}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
    return status


def _dry_run(workspace: Workspace, cells: list[Cell], console: Console) -> int:
    """Print each cell, whether it is cached, and what it would run."""
    table = Table("cell", "state", "batch", "precision", "recipe", box=None)
    count = 0
    for cell in cells:
        state, recipe = workspace.state(cell), workspace.recipe(cell)
        count += state.kind != "done"
        what = "cached" if state.kind == "done" else f"to run: {state.reason}"
        row = (cell.name, what, str(recipe.batch), recipe.precision, workspace.suite.config_of(cell))
        table.add_row(*map(Text, row))
    console.print(table)
    console.print(f"{count} cells to run, in {workspace.folder}", highlight=False, soft_wrap=True)
    return 0


def do_table(args: Namespace, console: Console) -> int:
    """Print the comparison, whatever there is of it."""
    from mixedae.benchmark.render import RENDERERS, rich_table
    from mixedae.benchmark.table import compare

    suite = load_suite(find_suite(args.suite))
    comparison = compare(_workspace(args, suite, need_data=False, disk_seeds=True))
    if args.format == "rich":
        console.print(rich_table(comparison))
    else:
        console.file.write(RENDERERS[args.format](comparison))
    return 0
