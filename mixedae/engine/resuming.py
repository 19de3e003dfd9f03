"""From which checkpoint of its folder a run goes on: the newest that is whole, with the reasons against newer ones."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixedae.errors import WeightsError
from mixedae.weights import read_checkpoint

POINTER = "last_checkpoint"
MID_EPOCH = "{}_iter_{}"  # the number in the name of a checkpoint from the middle of an epoch
NEEDED = ("meta", "message_hub", "optimizer")


@dataclass(frozen=True)
class Choice:
    """The checkpoint to resume from.

    Attributes:
        path: the checkpoint.
        passed_over: what could have been taken instead, each with the reason against it.
    """

    path: Path
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps its checkpoints, and how they are named.

    Attributes:
        work_dir: the run's.
        folder: of the checkpoints; another one if the recipe sets the hook's ``out_dir``.
        template: such as ``epoch_{}.pth``.
        by_epoch: whether the number in a name counts epochs. A run that is stopped in the middle of one leaves
            ``epoch_{E}_iter_{I}.pth``: E whole epochs are done, and I iterations of the next one.
    """

    work_dir: Path
    folder: Path
    template: str
    by_epoch: bool = True

    @classmethod
    def of(cls, cfg: Any, work_dir: str | Path) -> "RunFolder":
        """Where mmengine's CheckpointHook puts the checkpoints of a run.

        Args:
            cfg: the resolved config.
            work_dir: the run's.
        """
        work_dir = Path(work_dir)
        hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
        folder = Path(hook["out_dir"]) / work_dir.name if hook.get("out_dir") else work_dir
        by_epoch = bool(hook.get("by_epoch", True))
        unit = "epoch" if by_epoch else "iter"
        return cls(work_dir, folder, hook.get("filename_tmpl") or f"{unit}_{{}}.pth", by_epoch)

    def name(self, number: int, rest: int = 0) -> str:
        """The name of a checkpoint.

        Args:
            number: epochs done, or iterations.
            rest: iterations done of the next epoch.
        """
        return self.template.format(MID_EPOCH.format(number, rest) if rest else number)

    def checkpoints(self) -> list[Path]:
        """The checkpoints of this folder, the newest first. The best one is not among them: it has no optimizer.

        Raises:
            WeightsError: there is none.
        """
        if numbers := self._numbers():
            return sorted(numbers, key=numbers.__getitem__, reverse=True)
        others = sorted(path.name for path in self.folder.glob("*.pth"))
        what = f"only {', '.join(others[:5])}" if others else "nothing"
        raise WeightsError(
            f"nothing to resume from: expected {self.template.format('N')} in {self.folder}, found {what}; train "
            "without --resume, or give the --work-dir of the run that was stopped"
        )

    def names(self) -> list[str]:
        """Names of the checkpoints, the oldest first; none if there are none."""
        numbers = self._numbers()
        return [path.name for path in sorted(numbers, key=numbers.__getitem__)]

    def _numbers(self) -> dict[Path, tuple[int, int]]:
        """Each checkpoint with the epochs or iterations that its name counts, and the iterations of the next epoch."""
        name = re.compile(re.escape(self.template).replace(re.escape("{}"), r"(\d+)(?:_iter_(\d+))?"))
        found = {path: name.fullmatch(path.name) for path in self.folder.glob("*")}
        return {path: (int(match[1]), int(match[2] or 0)) for path, match in found.items() if match}

    def newest(self) -> Choice:
        """Read checkpoints from the newest on, until one can be resumed from.

        mmengine's ``last_checkpoint`` is not followed: a kill can leave it absent, empty or behind, and in a copied
        folder it names a file of the original. It only tells which files an earlier run in this folder left.

        Raises:
            WeightsError: no checkpoint can be resumed from; the message has each one's reason.
        """
        paths = self.checkpoints()
        passed_over = []
        named = self._named()
        if named is None and (self.work_dir / POINTER).exists():
            passed_over.append(f"{POINTER} in {self.work_dir} is empty or no text, and is not needed")
        if named is not None and named not in paths:
            where = "gone" if named.parent == self.folder else "in another folder and is not followed"
            passed_over.append(f"{POINTER} names {named}, which is {where}")
        for path in paths:
            if named in paths and path != named and paths.index(path) < paths.index(named) and _older(path, named):
                passed_over.append(f"{path.name} is older than {named.name}, which {POINTER} names: of an earlier run")
                continue
            try:
                check_resumable(read_checkpoint(path), path)
            except WeightsError as error:
                passed_over.append(str(error))
            else:
                return Choice(path, tuple(passed_over))
        raise WeightsError(f"no checkpoint in {self.folder} can be resumed from: {'; '.join(passed_over)}")

    def _named(self) -> Path | None:
        """What ``last_checkpoint`` names; None without one, or if it is empty."""
        try:
            text = (self.work_dir / POINTER).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return None
        named = Path(text)
        if text and named.resolve().parent == self.folder.resolve():
            return self.folder / named.name
        return named if text else None


def check_resumable(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Check that a checkpoint holds the state of a run and not only its weights.

    Args:
        checkpoint: as :func:`mixedae.weights.read_checkpoint` gave it.
        path: the checkpoint's, for the message.

    Raises:
        WeightsError: it cannot be resumed from.
    """
    missing = [key for key in NEEDED if not isinstance(checkpoint.get(key), Mapping)]
    missing += [f"meta.{key}" for key in ("epoch", "iter") if not _is_count((checkpoint.get("meta") or {}).get(key))]
    if missing:
        raise WeightsError(
            f"checkpoint {path} cannot be resumed from, it has no {', '.join(missing)}: best_* files and exported "
            "weights are for tests and transfers. Resume from the file of an epoch or iteration (--resume without a "
            "file takes the newest), or start a new run from its weights (--cfg-options load_from=FILE)"
        )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def _older(path: Path, other: Path) -> bool:
    return path.stat().st_mtime < other.stat().st_mtime
