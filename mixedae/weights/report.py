"""What happened to every tensor of a checkpoint, in words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LoadReport:
    """What a checkpoint gave to a backbone. All names are mmpretrain's, but in ``dropped`` they are the file's.

    Attributes:
        path: the checkpoint.
        format: its naming scheme, see :func:`mixedae.weights.to_backbone`.
        matched: tensors that were copied as they are.
        resized: position embeddings that were interpolated, or a patch embedding averaged over channels, with both
            shapes.
        allowed_missing: tensors of the model that the checkpoint lacks and the recipe allows to be new.
        unexpected: final norms and [CLS] token of the checkpoint that the model has no place for.
        dropped: tensors that are not backbone: decoder, head.
        fingerprint: :func:`fingerprint` over ``matched``, in the file and in the model after loading.
        checkpoint_fingerprint: over the file's whole ViT, as ``tools/checkpoint.py inspect`` prints it.
        notes: what tensors do not say, such as the number of heads, and where it was compared or taken from.
    """

    path: str
    format: str
    matched: tuple[str, ...]
    resized: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    allowed_missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    dropped: tuple[str, ...]
    fingerprint: str
    checkpoint_fingerprint: str
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, object]:
        """The report as plain JSON, with counts instead of long lists."""
        return {
            "path": self.path,
            "format": self.format,
            "matched": len(self.matched),
            "resized": {name: [list(shape) for shape in shapes] for name, shapes in self.resized.items()},
            "allowed_missing": list(self.allowed_missing),
            "unexpected": list(self.unexpected),
            "dropped": dict(Counter(name.split(".")[0] for name in self.dropped)),
            "fingerprint": self.fingerprint,
            "checkpoint_fingerprint": self.checkpoint_fingerprint,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [
            f"backbone weights from {self.path} ({self.format}), fingerprint {self.checkpoint_fingerprint[:12]}",
            f"  matched {len(self.matched)} ({self.fingerprint[:12]} in file and model) | "
            f"resized {len(self.resized)} | new {len(self.allowed_missing)} | "
            f"unused {len(self.unexpected)} | not backbone {len(self.dropped)}",
        ]
        groups: dict[str, list[str]] = {}
        for name, (old, new) in self.resized.items():
            groups.setdefault(f"{old} -> {new}", []).append(name)
        lines += [f"  resized: {_some(names, 1)} {change}" for change, names in groups.items()]
        if self.dropped:
            parts = Counter(name.split(".")[0] for name in self.dropped)
            lines.append("  not backbone: " + ", ".join(f"{name} ({count})" for name, count in parts.items()))
        if self.allowed_missing:
            lines.append(f"  new, as the recipe allows: {_some(self.allowed_missing)}")
        if self.unexpected:
            lines.append(f"  in the file, without use in this model: {_some(self.unexpected)}")
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)


def listed(problems: Mapping[str, Sequence[str]]) -> str:
    """Kinds of problems and the names that have them, in words.

    Args:
        problems: kind to names; kinds without names are left out.
    """
    return "; ".join(f"{len(names)} {kind}: {_some(names)}" for kind, names in problems.items() if names)


def _some(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f", ... ({len(names) - limit} more)" if len(names) > limit else "")
