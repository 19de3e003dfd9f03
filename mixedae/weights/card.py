"""README.md of an exported model: what it is, how it was trained, what it reached, how to load it."""

from collections.abc import Sequence
from dataclasses import dataclass

from mixedae.weights.anatomy import Anatomy
from mixedae.weights.facts import Facts


@dataclass(frozen=True)
class Measured:
    """One result of a transfer.

    Attributes:
        task: the card's name.
        metric: key.
        value: in the table's unit.
        pictures: of the test.
        seed: of the transfer.
        commit: of the code.
    """

    task: str
    metric: str
    value: float
    pictures: int | None
    seed: int
    commit: str


def readme(
    name: str, this: Anatomy, facts: Facts, fingerprint: str, source: str, use: str,
    measured: Sequence[Measured] = (), notes: Sequence[str] = (), library: str = "transformers",
) -> str:  # fmt: skip
    """The text.

    Args:
        name: of the model.
        this: the ViT.
        facts: of the file; a run's settings are told where there are some.
        fingerprint: of the backbone.
        source: file and format in words.
        use: Python code that loads the folder.
        measured: results of transfers from these weights.
        notes: further sentences.
        library: that loads the folder.
    """
    parts = ["[CLS]"] if this.with_cls else []
    parts += [f"{this.registers} register tokens"] if this.registers else []
    parts += ["LayerScale"] if this.layer_scale else []
    parts += ["relative positions"] if this.relative != "none" else []
    parts += ["a norm before the first layer"] if this.pre_norm else []
    lines = [
        "---",
        f"library_name: {library}",
        "tags: [vision, self-supervised, vit]",
        "---",
        f"# {name}",
        "",
        f"A Vision Transformer: {this.layers} layers, width {this.width}, {this.heads} heads, patches of "
        f"{this.patch} x {this.patch}, pictures of {this.image[0]} x {this.image[1]}"
        + (f"; with {', '.join(parts)}." if parts else "."),
        "",
        f"Written from {source}. SHA-256 of the backbone under mmpretrain's names: `{fingerprint}`.",
        *([f"Assumed: {this.assumed}."] if this.assumed else []),
        *(f"Note: {note}." for note in notes),
        "",
        "```python",
        use,
        "```",
        "",
        *_training(facts),
        *_results(measured),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _training(facts: Facts) -> list[str]:
    run = facts.run
    if not run:
        return ["How it was trained is not in the file."]
    rows = [
        ("recipe", run.get("recipe") or None),
        ("model", run.get("model.type")),
        ("training pictures", run.get("pictures")),
        ("epochs", run.get("train_cfg.max_epochs")),
        ("iterations", run.get("train_cfg.max_iters")),
        ("batch", _product(run, "batch", "accumulation", "world_size")),
        ("optimizer", run.get("optim_wrapper.optimizer.type")),
        ("learning rate", run.get("optim_wrapper.optimizer.lr")),
        ("weight decay", run.get("optim_wrapper.optimizer.weight_decay")),
        ("seed", run.get("randomness.seed")),
    ]
    known = [f"| {key} | {value} |" for key, value in rows if value is not None]
    return ["## Training", "", "| | |", "|---|---|", *known, ""]


def _product(run: object, *keys: str) -> int | None:
    total = 1
    for key in keys:
        value = run.get(key) if hasattr(run, "get") else None
        if not isinstance(value, int):
            return None
        total *= value
    return total


def _results(measured: Sequence[Measured]) -> list[str]:
    if not measured:
        return []
    head = ["## Results of transfers from these weights", "", "| task | metric | value | pictures | seed | code |"]
    rows = [f"| {m.task} | {m.metric} | {m.value:.2f} | {m.pictures or ''} | {m.seed} | {m.commit} |" for m in measured]
    return [*head, "|---|---|---|---|---|---|", *rows]
