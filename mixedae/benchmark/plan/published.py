"""Published numbers (mm_configs/benchmark/published.yaml): tables of papers as data, each with its source."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from mixedae.benchmark.plan.schema import Strict, load_yaml
from mixedae.errors import ConfigError
from mixedae.wording import nearest


class PublishedRow(Strict):
    """One row of a published table.

    Attributes:
        method: the row's name as printed.
        epochs: pre-training epochs (iBOT's effective epochs if ``effective_epochs``); None if not printed.
        effective_epochs: whether ``epochs`` counts views rather than passes.
        gpu_days: pre-training cost as printed.
        values: column to value; None if the scan is damaged there and nothing else gives the value.
        derived: column to the reason, if the scan is damaged there and something else that is printed gives the value.
        printed_differences: column to the difference to MAE of the same epochs that is printed beside the value.
    """

    method: str
    epochs: int | None = None
    effective_epochs: bool = False
    gpu_days: float | None = None
    values: dict[str, float | None]
    derived: dict[str, str] = {}
    printed_differences: dict[str, float] = {}


class PublishedClaim(Strict):
    """A sentence with a number that the table gives too. If they differ, both are kept.

    Attributes:
        text: the claim in short.
        printed: the number in the sentence.
        by_table: the number that follows from the table, and how.
        how: the arithmetic.
    """

    text: str
    printed: float
    by_table: float
    how: str


class PublishedTable(Strict):
    """A published table: its source, its columns' meaning, notes and claims about it, then its rows."""

    source: str
    columns: dict[str, str]
    notes: tuple[str, ...] = ()
    claims: tuple[PublishedClaim, ...] = ()
    rows: tuple[PublishedRow, ...]

    @model_validator(mode="after")
    def _known_columns(self) -> "PublishedTable":
        for row in self.rows:
            for column in (*row.values, *row.derived, *row.printed_differences):
                if column not in self.columns:
                    raise ConfigError(
                        f"{row.method} {row.epochs}: no column `{column}`; {nearest(column, self.columns)}"
                    )
        return self


class PublishedRef(Strict):
    """A pre-training's counterpart in a published table.

    It only counts if the epochs are the same, or if the table does not print them.
    """

    table: str
    method: str
    epochs: Annotated[int, Field(gt=0)] | None = None


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
        known = ", ".join(f"{row.method} {row.epochs or ''}".strip() for row in table.rows)
        wanted = f"{ref.method} {ref.epochs or ''}".strip()
        raise ConfigError(f"{ref.table} has no row `{wanted}`; it has {known}")


def load_published(path: Path) -> Published:
    """Read published.yaml; an absent file is an empty collection (a suite outside the project needs none)."""
    return load_yaml(path, Published) if path.is_file() else Published(tables={})
