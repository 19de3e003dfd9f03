"""Cells: the single trainings that a suite names, and choosing among them by name."""

from dataclasses import dataclass
from fnmatch import fnmatch

from mixedae.benchmark.plan.cards import PRETRAIN
from mixedae.errors import ConfigError


@dataclass(frozen=True)
class Cell:
    """One training run: a pre-training (``task`` None) or a transfer of it, with one seed.

    ``point`` names a training of the task's search; the transfer without one is the task's result.
    """

    pretraining: str
    task: str | None
    seed: int
    point: str | None = None

    @property
    def name(self) -> str:
        """Its folder below the suite's, and what ``--only`` matches.

        ``<pretraining>/<task>/seed_<n>``, in a search ``<pretraining>/<task>/search/<point>/seed_<n>``.
        """
        search = f"/search/{self.point}" if self.point else ""
        return f"{self.pretraining}/{self.kind}{search}/seed_{self.seed}"

    @property
    def kind(self) -> str:
        """The task's name, or ``pretrain``."""
        return self.task or PRETRAIN


def matching(cells: list[Cell], pattern: str | None) -> list[Cell]:
    """The cells whose name is ``pattern``, else those that match it (shell wildcards, or a part of the name).

    Raises:
        ConfigError: nothing matches.
    """
    if pattern is None:
        return cells
    exactly = [cell for cell in cells if cell.name == pattern]
    wanted = exactly or [cell for cell in cells if fnmatch(cell.name, pattern) or pattern in cell.name]
    if not wanted:
        raise ConfigError(f"--only {pattern} matches no cell; cells: {_listed(cells)}")
    return wanted


def _listed(cells: list[Cell]) -> str:
    """The names of cells; of searches only their number."""
    names = [cell.name for cell in cells if cell.point is None]
    points = len(cells) - len(names)
    return ", ".join(names) + (f" and {points} trainings of searches" if points else "")
