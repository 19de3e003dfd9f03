"""What a reader of the table must know, as footnotes in order."""

from collections.abc import Iterable

from mixedae.benchmark.plan.cells import Cell
from mixedae.benchmark.plan.search import Choice
from mixedae.benchmark.store.provenance import code_version
from mixedae.benchmark.store.results import UNPAIRED, Result
from mixedae.benchmark.store.workspace import Workspace
from mixedae.benchmark.table.comparison import Entry, Row
from mixedae.benchmark.table.counterparts import comparable


def footnotes(
    workspace: Workspace,
    rows: list[Row],
    results: dict[Cell, Result],
    epochs: dict[str, float | None],
    seen: dict[str, float],
) -> list[str]:
    """The suite's own notes, statistics, data, notes of cells, code versions, epochs, sources."""
    suite = workspace.suite
    notes = [
        *suite.notes,
        *_statistics(workspace, rows),
        *_selection(workspace, rows),
        *_average(workspace),
        *_files(workspace),
        *_data(workspace, results),
        *_cells(workspace, results),
        *code_notes(results, code_version(workspace.root)),
        *_crops(workspace, epochs, seen),
        *_epochs(workspace, epochs),
        *_sources(rows),
    ]
    return list(dict.fromkeys(notes))


def _statistics(workspace: Workspace, rows: list[Row]) -> Iterable[str]:
    seeds = len({cell.seed for cell in workspace.cells})
    if seeds > 1:
        yield f"Mean ± standard deviation (n - 1) over n={seeds} seeds unless another n is given; Δ is paired by seed."
    elif any(row.baseline for row in rows):
        yield "One seed: the spread over trainings is unknown, and a small difference means nothing."
    entries = [entry for row in rows for entry in row.entries]
    if tests := [entry.paired for entry in entries if entry.paired]:
        images = ", ".join(str(count) for count in sorted({test.images for test in tests}))
        yield (
            f"[low, high]: 95 % interval of Δ from a paired bootstrap over the test images ({images}), averaged over "
            "seeds; it covers the choice of images, not of seeds. tied: it holds zero. "
            f"*: p < 0.05 after Holm's correction for the {len(tests)} comparisons of this table "
            "(McNemar's exact test for one seed of a classification, else the bootstrap's p)."
        )
    yield from _unpaired(workspace, rows)


def _unpaired(workspace: Workspace, rows: list[Row]) -> Iterable[str]:
    tasks = [card.title for card in workspace.suite.cards.values() for _ in card.metrics]
    tasks += ["average"] if workspace.suite.average else []
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        for task, entry in zip(tasks, row.entries, strict=True):
            if entry.unpaired:
                by_reason.setdefault(_why(entry), []).append(f"{row.title}, {task}")
    for reason, places in by_reason.items():
        yield (
            f"{reason} ({'; '.join(dict.fromkeys(places))}). Top-1, mean per class, VOC's mAP, mIoU and COCO's AP "
            "store them (cells of an earlier version when run again: bench.py run --force); k-NN for every k and "
            "probes of every layer do not."
        )


def _why(entry: Entry) -> str:
    return f"{'Some seeds have no' if entry.paired else 'No'} paired test: {entry.unpaired}"


def _selection(workspace: Workspace, rows: list[Row]) -> Iterable[str]:
    """How settings were chosen: by a search, whose choices are listed row by row, or before."""
    columns = [(task, index) for task, card in workspace.suite.cards.items() for index, _ in enumerate(card.metrics)]
    for task, card in workspace.suite.cards.items():
        search = workspace.suite.search_of(task)
        if search is None:
            if card.selected_on is not None:
                yield (
                    f"{card.title}: settings were chosen on `{card.selected_on}`, held out from the training data, "
                    f"never on `{card.evaluated_on}`, which the numbers are measured on."
                )
            continue
        entries = [(row.title, row.entries[columns.index((task, 0))]) for row in rows]
        if chosen := [f"{title} {chosen_text(entry.choices)}" for title, entry in entries if entry.choices]:
            where = f"`{card.selected_on}`, never on `{card.evaluated_on}`"
            where = where if search.overlay else "the pictures that are reported, so the numbers flatter"
            yield f"{card.title}, chosen on {where}: {'; '.join(chosen)}."


def chosen_text(choices: dict[int, Choice]) -> str:
    """``lr-0.01_wd-0 (88.1, 20 points)``; one per seed if there are several."""
    texts = {}
    for seed, choice in choices.items():
        diverged = f", {choice.diverged} diverged" if choice.diverged else ""
        texts[seed] = f"{choice.point} ({choice.score:.1f}, {choice.points} points{diverged})"
    return ", ".join(f"seed {seed}: {text}" if len(texts) > 1 else text for seed, text in texts.items())


def _average(workspace: Workspace) -> Iterable[str]:
    if workspace.suite.average is not None:
        yield (
            f"average: mean of {len(workspace.suite.cards)} tasks, each by its first metric, for seeds with all of "
            "them. Its ± is over seeds alone, of the same tasks; its Δ has no test."
        )


def _files(workspace: Workspace) -> Iterable[str]:
    """Rows whose pre-training is a file: what the table cannot know of them."""
    suite = workspace.suite
    rows = [suite.distinct_title(name) for name, row in suite.pretrainings.items() if row.checkpoint is not None]
    if rows:
        seeds = "; seeds repeat the transfers alone" if len({cell.seed for cell in workspace.cells}) > 1 else ""
        yield f"From a checkpoint file, whose pre-training is not known here: {', '.join(rows)}{seeds}."
    if given := [f"{suite.distinct_title(name)} is {file}" for name, file in workspace.checkpoints.items()]:
        yield f"Given by --checkpoint, not what the row's title says: {'; '.join(given)}."


def _data(workspace: Workspace, results: dict[Cell, Result]) -> Iterable[str]:
    unchecked = {workspace.suite.data_of(cell).name for cell in results if workspace.fingerprint(cell) is None}
    if unchecked:
        yield f"The data is not here ({', '.join(sorted(unchecked))}): whether it changed since was not checked."


def _cells(workspace: Workspace, results: dict[Cell, Result]) -> Iterable[str]:
    for cell, result in results.items():
        title = (
            workspace.suite.cards[cell.task].title if cell.task else workspace.suite.distinct_title(cell.pretraining)
        )
        for note in result.notes:
            if not (cell.point and note.startswith(UNPAIRED)):  # no test is made of a search's points
                yield f"{title}: {note}."


def code_notes(results: dict[Cell, Result], here: str | None) -> Iterable[str]:
    """Which code made which cells, unless it was one version and that is the code here.

    Args:
        results: the cells.
        here: the version of the code that runs now; None if it is unknown.
    """
    versions: dict[str, list[str]] = {}
    for cell, result in results.items():
        versions.setdefault(result.provenance.version, []).append(cell.name)
    if len(versions) > 1:
        listed = "; ".join(f"{version}: {_listed(names)}" for version, names in versions.items())
        yield f"The cells were made by {len(versions)} versions of the code: {listed}."
    others = {version: len(names) for version, names in versions.items() if version != here}
    if here is not None and others:
        count = f"{sum(others.values())} of {len(results)} cells"
        yield f"The code is {here} now; {count} were made by another version ({', '.join(others)})."


def _listed(names: list[str], most: int = 3) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _crops(workspace: Workspace, epochs: dict[str, float | None], seen: dict[str, float]) -> Iterable[str]:
    for name, ours in epochs.items():
        if ours is not None and seen[name] != 1:
            yield (
                f"{workspace.suite.distinct_title(name)}: {ours / seen[name]:g} epochs, in which each picture is seen "
                f"as crops of {seen[name]:g} pictures by area: {ours:g} effective epochs."
            )


def _epochs(workspace: Workspace, epochs: dict[str, float | None]) -> Iterable[str]:
    suite = workspace.suite
    for name, pretraining in suite.pretrainings.items():
        ref, ours = pretraining.published, epochs[name]
        if ref is not None and None not in (ours, ref.epochs) and ours != ref.epochs:
            yield f"{suite.distinct_title(name)}: published at {ref.epochs} epochs, ours has {ours:g}; not compared."
        base = suite.baseline_of(name)
        if base is None:
            continue
        ours_title, base_title = suite.distinct_title(name), suite.distinct_title(base)
        if not comparable(ours, epochs[base]):
            yield f"{ours_title} is not compared with {base_title}: other pre-training epochs."
        elif (ours is None) != (epochs[base] is None):
            file, title = (name, ours_title) if ours is None else (base, base_title)
            if suite.pretrainings[file].checkpoint is not None:
                yield f"{ours_title} is compared with {base_title}; the pre-training epochs of {title} are unknown."


def _sources(rows: list[Row]) -> Iterable[str]:
    shown = [entry.published for row in rows for entry in row.entries if entry.published]
    for source in sorted({published.source for published in shown}):
        yield f"Paper: {source}."
    if tolerances := sorted({p.tolerance for p in shown if p.reproduced is not None and p.tolerance}):
        listed = ", ".join(f"{tolerance:g}" for tolerance in tolerances)
        yield f"✓ and ✗: within or outside the task's tolerance (± {listed}) of the paper's number."
    if any(published.derived for published in shown):
        yield "Some published numbers are derived because the paper's scan is damaged there; published.yaml marks them."
