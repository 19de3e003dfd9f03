"""What ``tools/bench.py`` does: each command takes parsed arguments and returns an exit status."""

import shlex
from argparse import Namespace
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mixedae.benchmark.plan.cards import load_card
from mixedae.benchmark.plan.cells import Cell, matching
from mixedae.benchmark.plan.launch import Launch, parse_slurm
from mixedae.benchmark.plan.schema import explain, parse_pairs
from mixedae.benchmark.plan.suites import BENCHMARK, Suite, load_suite
from mixedae.benchmark.store.data_roots import parse_roots
from mixedae.benchmark.store.exchange import export_cells, import_cells
from mixedae.benchmark.store.settings import Request
from mixedae.benchmark.store.survey import Survey
from mixedae.benchmark.store.workspace import Workspace
from mixedae.errors import ConfigError
from mixedae.files import ROOT


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


def _request(args: Namespace, suite: Suite) -> Request:
    """What the command was given beside the suite."""
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit {args.limit}: expected a number of iterations, at least 1")
    files = parse_pairs("--checkpoint", args.checkpoint, "NAME=FILE")
    return Request(
        folder=Path(args.work_dir).absolute() if args.work_dir else None,
        data=parse_roots(args.data, suite),
        checkpoints={name: Path(file).absolute() for name, file in files.items()},
        seeds=parse_seeds(args.seeds),
        limit=args.limit,
    )


def _survey_without_data(args: Namespace) -> Survey:
    """A look at the suite's folder alone: every seed that has results, and no check of the data."""
    suite = load_suite(find_suite(args.suite))
    request = replace(_request(args, suite), need_data=False)
    workspace = Workspace(suite, request)
    if request.seeds is None:
        workspace = Workspace(suite, replace(request, seeds=workspace.seeds_on_disk))
    return Survey(workspace)


def parse_launch(args: Namespace) -> Launch | None:
    """How processes are started by the command line; None if it says nothing: then as the last run did."""
    given = {
        "kind": args.launcher,
        "processes": args.processes,
        "nodes": args.nodes,
        "rendezvous": args.rendezvous,
        "starter": args.starter,
        "slurm": parse_slurm(args.slurm) or None,
        "cluster": args.cluster,
    }
    given = {name: value for name, value in given.items() if value is not None}
    try:
        return Launch.model_validate(given) if given else None
    except ValidationError as error:
        raise ConfigError(explain(error)) from None


def do_ls(args: Namespace, console: Console) -> int:
    """List the project's suites and tasks, or the rows of one suite."""
    if args.suite:
        return _list_rows(load_suite(find_suite(args.suite)), console)
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


def _list_rows(suite: Suite, console: Console) -> int:
    """Print each row of a suite and, of a pre-training, the command that trains it by hand."""
    for name, row in suite.pretrainings.items():
        console.print(f"{name}: {suite.title_of(name)}", markup=False, highlight=False, soft_wrap=True)
        what = row.checkpoint or "random initialisation"
        if row.config:
            variant = suite.variant_of(Cell(name, None, suite.seeds[0]), None)
            folder = f"work_dirs/by_hand/{suite.name}/{name}"
            what = shlex.join(["python", *variant.command(ROOT / row.config, folder)])
        console.print(f"    {what}", markup=False, highlight=False, soft_wrap=True)
    return 0


def do_validate(args: Namespace, console: Console) -> int:
    """Check a suite's cards, configs and data; every problem is printed."""
    from mixedae.benchmark.validate import problems_of

    suite = load_suite(find_suite(args.suite))
    workspace = Workspace(suite, _request(args, suite))
    problems = problems_of(workspace, workspace.cells)
    for problem in problems:
        console.print(f"error: {type(problem).__name__}: {problem}", markup=False, highlight=False, soft_wrap=True)
    if not problems:
        console.print(f"{workspace.suite.name}: {len(workspace.cells)} cells; cards, configs and data are in order")
    return int(bool(problems))


def do_run(args: Namespace, console: Console) -> int:
    """Run what is not done; ``--dry-run`` only says what that is."""
    from mixedae.benchmark.run.board import make_board
    from mixedae.benchmark.run.cluster import ClusterRunner
    from mixedae.benchmark.run.runner import SuiteRunner
    from mixedae.benchmark.validate import problems_of

    suite = load_suite(find_suite(args.suite))
    workspace = Workspace(suite, replace(_request(args, suite), launch=parse_launch(args)))
    cells = workspace.suite.select(workspace.cells, args.only)
    for problem in problems_of(workspace, cells):
        raise problem
    force = matching(workspace.cells, args.only) if args.force else ()
    if args.dry_run:
        return _dry_run(workspace, cells, console, set(force))
    workspace.remember()
    _warn(workspace, [cell for cell in cells if cell not in force], console)
    kind = ClusterRunner if workspace.launch.kind == "slurm" else SuiteRunner
    runner = kind(workspace, make_board(console, workspace.title), force=force, retries=args.retries)
    status = runner.run(cells)
    for view in runner.views.values():
        if view.state == "failed":
            log = workspace.dir(view.cell) / "log.txt"
            text = f"failed: {view.cell.name}: {view.reason}\n        log: {log}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
    return status


def _warn(workspace: Workspace, cells: list[Cell], console: Console) -> None:
    """Say which valid results another version of the code made: it is no part of their key, by design."""
    from mixedae.benchmark.store.provenance import code_version
    from mixedae.benchmark.table.footnotes import code_notes

    for note in code_notes(Survey(workspace).results(cells), code_version(workspace.root)):
        console.print(f"note: {note} --force makes cells again.", markup=False, highlight=False, soft_wrap=True)


def _dry_run(workspace: Workspace, cells: list[Cell], console: Console, force: set[Cell]) -> int:
    """Print each cell, whether it is cached, and what it would run."""
    table = Table("cell", "state", "batch", "precision", "recipe", box=None)
    survey, count = Survey(workspace), 0
    for cell in cells:
        state, recipe, variant = survey.state(cell), survey.recipe(cell), survey.variant(cell)
        cached = state.over and cell not in force
        count += not cached
        what = f"cached{'' if state.kind == 'done' else f': {state.kind}'}"
        what = what if cached else f"to run: {state.reason or '--force'}"
        batch = str(recipe.effective_batch(workspace.launch.world_size))
        changes = [f"+ {name}" for name in variant.overlays] + [f"{key}={value}" for key, value in recipe.options]
        table.add_row(*map(Text, (cell.name, what, batch, recipe.precision, " ".join([variant.config, *changes]))))
    console.print(table)
    console.print(f"{count} cells to run, in {workspace.folder}", highlight=False, soft_wrap=True)
    return 0


def _patience() -> AbstractContextManager[object]:
    """A sign of life on a terminal: a suite's first paired tests may take minutes; after that they are remembered."""
    return Console(stderr=True).status("collecting results, testing differences")


def do_table(args: Namespace, console: Console) -> int:
    """Print the comparison, complete or not."""
    from mixedae.benchmark.table.compare import compare
    from mixedae.benchmark.table.render import RENDERERS, rich_table

    survey = _survey_without_data(args)
    with _patience():
        comparison = compare(survey)
    if args.format == "rich":
        console.print(rich_table(comparison))
    else:
        console.file.write(RENDERERS[args.format](comparison))
    return 0


def do_report(args: Namespace, console: Console) -> int:
    """Write the suite's report, one HTML file that needs no network."""
    from mixedae.benchmark.report.page import write_report

    survey = _survey_without_data(args)
    with _patience():
        path = write_report(survey, Path(args.out) if args.out else survey.workspace.folder / "report.html")
    console.print(f"report: {path}", markup=False, highlight=False, soft_wrap=True)
    return 0


def do_export(args: Namespace, console: Console) -> int:
    """Write finished cells as a table and an archive."""
    table, archive, count = export_cells(_survey_without_data(args), Path(args.out))
    console.print(f"{count} cells: {table}, {archive}", soft_wrap=True)
    return 0


def do_import(args: Namespace, console: Console) -> int:
    """Take in cells that were finished elsewhere."""
    suite = load_suite(find_suite(args.suite))
    request = _request(args, suite)
    taken, there = import_cells(Path(args.archive), Workspace(suite, replace(request, need_data=False)))
    console.print(f"{len(taken)} cells taken in, {len(there)} were here already", soft_wrap=True)
    return 0


def do_new(args: Namespace, console: Console) -> int:
    """Write a card or a suite to start from, and say how to go on."""
    from mixedae.benchmark.plan.new import new_card, new_suite  # numpy

    if args.what == "card":
        path = new_card(args.name, args.task, Path(args.data))
        more = f"bench.py new suite NAME --tasks {args.name} --checkpoint FILE"
    else:
        path = new_suite(args.name, tuple(args.tasks.split(",")), Path(args.checkpoint) if args.checkpoint else None)
        data = " ".join(f"--data {card.data.name}=DIR" for card in load_suite(path).cards.values())
        more = f"bench.py run {args.name} {data}"
    console.print(f"{path}\nnext: {more}", markup=False, soft_wrap=True)
    return 0
