"""Published numbers (mm_configs/benchmark/published.yaml): tables of papers as data, each with its source."""

from pathlib import Path

from pydantic import Field, model_validator

from mixedae.benchmark.schema import Strict, load_yaml, nearest
from mixedae.errors import ConfigError


class PublishedRow(Strict):
    """One row of a published table.

    Attributes:
        method: the row's name as printed.
        epochs: pre-training epochs (iBOT's effective epochs where ``effective_epochs``).
        effective_epochs: whether ``epochs`` counts views rather than passes.
        gpu_days: pre-training cost as printed.
        values: column to value.
        derived: column to the reason where the scan is damaged and a printed difference gives the value.
    """

    method: str
    epochs: int
    effective_epochs: bool = False
    gpu_days: float | None = None
    values: dict[str, float]
    derived: dict[str, str] = {}


class PublishedTable(Strict):
    """A published table: its source and its columns' meaning, then its rows."""

    source: str
    columns: dict[str, str]
    rows: tuple[PublishedRow, ...]

    @model_validator(mode="after")
    def _known_columns(self) -> "PublishedTable":
        for row in self.rows:
            for column in (*row.values, *row.derived):
                if column not in self.columns:
                    raise ConfigError(
                        f"{row.method} {row.epochs}: no column `{column}`; {nearest(column, self.columns)}"
                    )
        return self


class PublishedRef(Strict):
    """A pre-training's counterpart in a published table; it only counts where the epochs are the same."""

    table: str
    method: str
    epochs: int = Field(gt=0)


class Published(Strict):
    """All published tables by name."""

    tables: dict[str, PublishedTable]

    def row(self, ref: PublishedRef) -> tuple[PublishedTable, PublishedRow]:
        """The table and the row that ``ref`` names.

        Raises:
            ConfigError: there is no such table or row.
        """
        if ref.table not in self.tables:
            raise ConfigError(f"no published table `{ref.table}`; {nearest(ref.table, self.tables)}")
        table = self.tables[ref.table]
        for row in table.rows:
            if (row.method, row.epochs) == (ref.method, ref.epochs):
                return table, row
        known = ", ".join(f"{row.method} {row.epochs}" for row in table.rows)
        raise ConfigError(f"{ref.table} has no row `{ref.method} {ref.epochs}`; it has {known}")


def load_published(path: Path) -> Published:
    """Read published.yaml; an absent file is an empty collection (a suite outside the project needs none)."""
    return load_yaml(path, Published) if path.is_file() else Published(tables={})
