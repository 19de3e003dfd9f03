"""report.html: the comparison with its charts, pictures and provenance, in one file that needs no network."""

import base64
import shlex
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.suites import RANDOM
from mixedae.benchmark.report.charts import charts
from mixedae.benchmark.store.provenance import code_version
from mixedae.benchmark.store.survey import State, Survey
from mixedae.benchmark.store.workspace import Workspace
from mixedae.benchmark.table.compare import compare
from mixedae.benchmark.table.comparison import Comparison
from mixedae.benchmark.table.layout import Layout
from mixedae.files import read_json, write_text
from mixedae.wording import duration

TEMPLATES = Path(__file__).parent / "templates"
CAPTIONS = {  # of the figures that tools/analyze.py draws, for pictures whose sidecar has none
    "attention": "Attention of [CLS] in the last layer (the paper's Fig. 5).",
    "attention_objects": "How much of the attention of [CLS] lies on objects.",
    "recognition": "Accuracy of TopK sampling by layer and by epoch (the paper's Fig. 6).",
    "reconstruction": "Pictures, what the encoder sees of them, and their reconstructions.",
    "information": "Mutual information of input and target.",
    "cost": "Cost of pre-training.",
}


def write_report(survey: Survey, path: Path) -> Path:
    """Write the report of a suite, complete or not.

    Args:
        survey: of the suite's folder.
        path: the file to write.

    Returns:
        The path.
    """
    workspace, states, comparison = survey.workspace, survey.states(), compare(survey)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("report.html.jinja").render(
        comparison=comparison,
        layout=Layout(comparison),
        paired=list(_paired(comparison)),
        charts=charts(survey, comparison),
        figures=figures(workspace.folder / "figures"),
        figures_command=_figures_command(workspace, states),
        cells=[_cell(workspace, cell, state) for cell, state in states.items()],
        done=sum(state.over for state in states.values()),
        code=code_version(workspace.root) or "unknown",
        written=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        command=f"python tools/bench.py run {_suite(workspace)}",
    )
    write_text(path, page)
    return path


def _paired(comparison: Comparison) -> Iterator[dict[str, Any]]:
    for row in comparison.rows:
        for column, entry in zip(comparison.columns, row.entries, strict=True):
            if entry.paired is not None and entry.difference is not None:
                place = {"row": row.title, "baseline": row.baseline, "task": column.title, "metric": column.name}
                yield {**place, "difference": entry.difference, "test": entry.paired}


def figures(folder: Path) -> list[dict[str, str]]:
    """The pictures of a suite: every PNG in its ``figures`` folder, embedded.

    A file of the same name that ends in .json may hold ``caption`` and ``alt``.
    """
    found = []
    for path in sorted(folder.glob("*.png")):
        sidecar = read_json(path.with_suffix(".json"), default={})
        sidecar = sidecar if isinstance(sidecar, dict) else {}
        caption = str(sidecar.get("caption") or CAPTIONS.get(path.stem, path.stem.replace("_", " ")))
        source = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
        found.append({"caption": caption, "alt": str(sidecar.get("alt") or caption), "source": source})
    return found


def _figures_command(workspace: Workspace, states: dict[Cell, State]) -> str:
    """The command that draws attention maps for this suite's pre-trainings."""
    seed = min(cell.seed for cell in workspace.cells)
    named = []
    for name, pretraining in workspace.suite.pretrainings.items():
        state = states.get(Cell(name, None, seed))
        if pretraining.config and state and state.result and state.result.checkpoint:
            checkpoint = workspace.dir(Cell(name, None, seed)) / state.result.checkpoint.file
            named.append(f"{name}={_relative(checkpoint, workspace)}")
    if not named:
        return ""
    out = _relative(workspace.folder / "figures", workspace)
    return f"python tools/analyze.py attention {shlex.join(named)} --data images=DIR --out {out}"


def _relative(path: Path, workspace: Workspace) -> str:
    return str(path.relative_to(workspace.root) if path.is_relative_to(workspace.root) else path)


def _suite(workspace: Workspace) -> str:
    return shlex.quote(_relative(workspace.suite.path, workspace))


def _cell(workspace: Workspace, cell: Cell, state: State) -> dict[str, Any]:
    """A cell's state, numbers and provenance, and the commands that make it again."""
    suite, result = workspace.suite, state.result
    facts: dict[str, str] = {}
    if result is not None:
        made, run = result.provenance, result.run
        facts["code"] = made.version
        facts["made"] = f"{result.started:%Y-%m-%d %H:%M} to {result.finished:%H:%M} UTC ({duration(result.elapsed_s)})"
        if run is not None:
            facts["training"] = (
                f"{run.iterations} iterations, effective batch {run.effective_batch}, "
                f"lr {run.lr if run.lr is None else format(run.lr, '.4g')}, {run.precision}, "
                f"{run.world_size} process{'es' if run.world_size > 1 else ''}, accumulation {run.accumulation}"
            )
            facts["peak memory"] = f"{run.peak_memory_mb:.0f} MB" if run.peak_memory_mb else "unknown"
            if run.load_report is not None:
                facts["weights loaded"] = ", ".join(
                    f"{k} {v}" for k, v in run.load_report.items() if v not in ([], None)
                )
        facts["hardware"] = ", ".join(
            [str(made.hardware.get("cpu")), f"{made.hardware.get('cores')} cores", *made.hardware.get("gpus", [])]
        )
        facts["packages"] = ", ".join(f"{name} {version}" for name, version in made.packages.items())
        identity = result.identity
        facts["weights sha256"] = identity.weights_sha256 or ("none" if cell.task is None else RANDOM)
        changes = [f"+ {name}" for name in result.overlays] + [f"{k}={v}" for k, v in result.options.items()]
        facts["recipe"] = f"{' '.join([result.config, *changes])}, sha256 {identity.recipe_hash}"
        facts["data sha256"] = identity.dataset_fingerprint or "unknown"
        facts["card version"] = str(identity.card_version or "none")
        facts["test images"] = str(result.n or "none")
        facts["outcomes"] = result.outcomes.sha256 if result.outcomes else "none stored: no paired test is possible"
        facts["notes"] = "; ".join(result.notes) or "none"
        facts["log"] = _relative(workspace.dir(cell) / result.log, workspace)
    metrics = suite.cards[cell.task].metrics if cell.task else ()
    limit = f" --limit {workspace.limit}" if workspace.limit else ""
    again = f"python tools/bench.py run {_suite(workspace)} --only {cell.name} --seeds {cell.seed}{limit} --force"
    what = suite.cards[cell.task].title if cell.task else "pre-training"
    what += f", {cell.point}" if cell.point else ""
    return {
        "name": cell.name,
        "title": f"{suite.distinct_title(cell.pretraining)}, {what}",
        "seed": cell.seed,
        "state": state.kind,
        "reason": state.reason,
        "numbers": ", ".join(
            f"{m.name} {result.values[m.key]:.1f}" for m in metrics if result and m.key in result.values
        ),
        "facts": facts,
        "again": again,
        "command": shlex.join(result.command) if result else "",
    }
