"""How a column's values become those of another type: PostgreSQL is asked."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from schema.autogenerate.changes import create_enum
from schema.errors import MigrationError
from schema.rls.catalog import run_script, throw_away_schema
from schema.rls.policy import quoted


def conversion(
    connection: Connection, column: str, former: str, wanted: str, enums: Mapping[str, Sequence[str]]
) -> str | None:
    """Return the USING expression from one type to another: empty where none is needed, None where there is no cast.

    `enums` are the types that either may be one of. All is tried in a schema of its own that is taken back.
    """
    with throw_away_schema(connection):
        made = [create_enum(name, labels) for name, labels in enums.items()]
        run_script(connection, [*made, f"CREATE TABLE trial ({quoted(column)} {former})"])
        for using in ("", f"{quoted(column)}::{wanted}"):
            try:
                with connection.begin_nested():
                    how = f" USING {using}" if using else ""
                    run_script(connection, [f"ALTER TABLE trial ALTER COLUMN {quoted(column)} TYPE {wanted}{how}"])
            except DBAPIError:
                continue
            return using
    return None


def refuse_conversion(place: tuple[str, str], former: str, wanted: str) -> MigrationError:
    """Say that PostgreSQL knows no way from one type to the other, and what to write."""
    table, column = place
    return MigrationError(
        f"{table}.{column} changes from {former} to {wanted}, and PostgreSQL has no cast for that. Write a migration "
        f'by hand with the expression that converts it: op.execute(\'ALTER TABLE "{table}" ALTER COLUMN "{column}" '
        f"TYPE {wanted} USING …'), and generate the rest behind it. Nothing was written."
    )
