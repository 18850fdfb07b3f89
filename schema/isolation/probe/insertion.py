"""Rows as SQL: the INSERT of one, and of several that point at each other."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from schema.isolation.probe.check_solver import CannotSynthesize
from schema.isolation.probe.shapes import Column, Shape

Row = Mapping[str, Any]


def insertion(table: str, row: Row, shape: Shape) -> Composed:
    """Return the INSERT of a row, with its values as literals; text is cast to the column's type.

    What is generated is left out; an identity that is ALWAYS the server's is overridden.
    """
    columns = {name: shape.columns.get(name) for name in row}
    written = [name for name, column in columns.items() if column is None or not column.generated]
    overriding = " OVERRIDING SYSTEM VALUE" if any(column and column.always for column in columns.values()) else ""
    return SQL("INSERT INTO {} ({}){} VALUES ({})").format(
        SQL(table),
        SQL(", ").join(map(Identifier, written)),
        SQL(overriding),
        SQL(", ").join(_cast(row[name], columns[name]) for name in written),
    )


def insert_at_once(
    connection: psycopg.Connection[Any], rows: Mapping[str, Row], shapes: Mapping[str, Shape]
) -> dict[str, Row]:
    """Insert a row of each table by one statement, and return them as the server holds them.

    Foreign keys are checked when the statement ends, so that rows may point at each other.

    Raises:
        CannotSynthesize: the server took a row and kept none.
    """
    made = [
        SQL("{} AS ({} RETURNING {})").format(
            Identifier(f"made_{number}"), insertion(table, row, shapes[table]), _as_text(shapes[table])
        )
        for number, (table, row) in enumerate(rows.items())
    ]
    found: dict[str, Row] = {}
    answers = connection.execute(
        SQL("WITH {} SELECT {} FROM (SELECT) one {}").format(
            SQL(", ").join(made),
            SQL(", ").join(SQL("to_jsonb({})").format(Identifier(f"made_{number}")) for number in range(len(rows))),
            SQL(" ").join(
                SQL("LEFT JOIN {} ON true").format(Identifier(f"made_{number}")) for number in range(len(rows))
            ),
        )
    ).fetchone()
    for table, row in zip(rows, answers or (), strict=True):
        if row is None:
            raise CannotSynthesize(table, "the server takes a row and keeps none, as where a trigger returns NULL")
        found[table] = row
    return found


def first_row(connection: psycopg.Connection[Any], table: str, shape: Shape) -> Row | None:
    """Return a row that is there, its values as text."""
    found = connection.execute(SQL("SELECT {} FROM {} LIMIT 1").format(_as_text(shape), SQL(table))).fetchone()
    return None if found is None else dict(zip(shape.columns, found, strict=True))


def _cast(value: Any, column: Column | None) -> Composable:
    # Of a column that there is not, which a factory may name, the server says so.
    return Literal(value) if column is None else SQL("{}::{}").format(Literal(value), SQL(column.type))


def _as_text(shape: Shape) -> Composable:
    return SQL(", ").join(SQL("{0}::text AS {0}").format(Identifier(column)) for column in shape.columns)
