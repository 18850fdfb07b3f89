"""Try values for the columns of a CHECK that refuses a made-up row, until the server takes the row."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import psycopg

from schema.isolation.probe.shapes import Check, Shape
from schema.isolation.probe.values import candidates

_TRIES = 300


class CannotSynthesize(Exception):
    """No row can be made up for a table; says why, and which columns a factory would have to give."""

    def __init__(self, table: str, reason: str, columns: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.table = table
        self.columns = columns


@dataclass(slots=True)
class CheckSolver:
    """The tries for one row: which CHECK refused it last, and what the columns of each are given."""

    table: str
    shape: Shape
    values: dict[str, str | None] = field(default_factory=dict)
    _tries: int = 0
    _refusal: psycopg.Error | None = None
    _choices: dict[str, Iterator[dict[str, str | None]]] = field(default_factory=dict)

    def refused(self, error: psycopg.Error) -> None:
        """Note why the server refused the row.

        Raises:
            CannotSynthesize: it was no CHECK of the table, or too much was tried.
        """
        self._tries += 1
        if isinstance(error, psycopg.errors.CheckViolation):
            self._refusal = error
        elif not (self._refusal and isinstance(error, psycopg.DataError)):
            # A value that is none of its column's type is one of the tries.
            raise self._unmade(error) from error
        if self._tries > _TRIES:
            raise self._unmade(self._refusal) from error

    def next(self) -> dict[str, str | None]:
        """Return the next values for the columns of the CHECK that refused the row last.

        Raises:
            CannotSynthesize: there are none left.
        """
        name = (self._refusal.diag.constraint_name if self._refusal else None) or ""
        if name not in self._choices:
            self._choices[name] = self._of(self.shape.checks.get(name))
        found = next(self._choices[name], None)
        if found is None:
            raise self._unmade(self._refusal) from self._refusal
        self.values.update(found)
        return found

    def _unmade(self, error: psycopg.Error | None) -> CannotSynthesize:
        check = self.shape.checks.get((error.diag.constraint_name if error else None) or "")
        column = error.diag.column_name if error else None
        return CannotSynthesize(self.table, _reason(error), check.columns if check else (column,) if column else ())

    def _of(self, check: Check | None) -> Iterator[dict[str, str | None]]:
        if check is None:
            return
        # Not the tenant's: whose a row is, is given.
        columns = [
            self.shape.columns[name]
            for name in check.columns
            if name != "tenant_id" and not self.shape.columns[name].generated
        ]
        for values in product(*(dict.fromkeys(candidates(check, column)) for column in columns)):
            yield dict(zip((column.name for column in columns), values, strict=True))


def _reason(error: psycopg.Error | None) -> str:
    return "" if error is None else (error.diag.message_primary or str(error)).rstrip(".")
