"""How a column's values become those of another type: PostgreSQL is asked."""

import re
from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from infra.config.sql_text import quote
from schema.errors import MigrationError
from schema.migration.diff.rls.catalog import run_script, throw_away_schema

_PRECISION = re.compile(r"\(\d+\)")
_STAMP, _TIME = "timestamp {} time zone", "time {} time zone"
_IN_UTC = {
    (_STAMP.format("without"), _STAMP.format("with")): "{} AT TIME ZONE 'UTC'",
    (_STAMP.format("with"), _STAMP.format("without")): "{} AT TIME ZONE 'UTC'",
    ("date", _STAMP.format("with")): "{}::timestamp AT TIME ZONE 'UTC'",
    (_STAMP.format("with"), "date"): "({} AT TIME ZONE 'UTC')::date",
    (_STAMP.format("with"), _TIME.format("without")): "({} AT TIME ZONE 'UTC')::time",
    (_STAMP.format("with"), _TIME.format("with")): "(({} AT TIME ZONE 'UTC')::time || '+00')::timetz",
    (_TIME.format("without"), _TIME.format("with")): "({} || '+00')::timetz",
    (_TIME.format("with"), _TIME.format("without")): "({} AT TIME ZONE 'UTC')::time",
}


def conversion(connection: Connection, column: str, former: str, wanted: str, types: Sequence[str]) -> str | None:
    """Return the USING expression from one type to another: empty where none is needed, None where there is no cast.

    `types` are the statements that make the types which either may be one of. All is tried in a schema of its own that
    is taken back.
    """
    ways = [in_utc(quote(column), former, wanted), "", f"{quote(column)}::{wanted}"]
    with throw_away_schema(connection):
        run_script(connection, [*types, f"CREATE TABLE trial ({quote(column)} {former})"])
        for using in (*(way for way in ways if way is not None), *_truth(quote(column), former, wanted)):
            try:
                with connection.begin_nested():
                    how = f" USING {using}" if using else ""
                    run_script(connection, [f"ALTER TABLE trial ALTER COLUMN {quote(column)} TYPE {wanted}{how}"])
            except DBAPIError:
                continue
            return using
    return None


def in_utc(column: str, former: str, wanted: str) -> str | None:
    """Return the expression from a type with a time zone to one without, or back; None where neither or both have one.

    PostgreSQL's own casts between the two go by the time zone of whoever runs the migration (manual, 8.5.1.3).
    """
    expression = _IN_UTC.get((_PRECISION.sub("", former), _PRECISION.sub("", wanted)))
    return None if expression is None else expression.format(column)


def _truth(column: str, former: str, wanted: str) -> tuple[str, ...]:
    """Return how a truth value becomes a number and a number one: PostgreSQL has a cast for integer alone."""
    if former == "boolean":
        return (f"{column}::integer::{wanted}",)
    return (f"{column} <> 0",) if wanted == "boolean" else ()


def refuse_conversion(place: tuple[str, str], former: str, wanted: str) -> MigrationError:
    """Say that PostgreSQL knows no way from one type to the other, and what to write."""
    table, column = place
    return MigrationError(
        f"{table}.{column} changes from {former} to {wanted}, and PostgreSQL has no cast for that. Write a migration "
        f'by hand with the expression that converts it: op.execute(\'ALTER TABLE "{table}" ALTER COLUMN "{column}" '
        f"TYPE {wanted} USING …'), and generate the rest after it. Nothing was written.",
        tables=(table,),
    )
