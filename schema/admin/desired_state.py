"""What must hold in a database, each with the SQL that makes it so.

One declaration has two readers: `converge` asks the server and makes what is lacking; `schema.admin.bootstrap` prints a
script that does the same by psql.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.sql import SQL, Composable, Composed, Literal

from schema.client.connection import BoundedConnection

ROUNDS = 3
"""A statement may bring to light what the next round makes: a role, then its attributes; a REVOKE from PUBLIC, then
what was held through it."""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """One thing that must hold.

    `repairs` is a query of one text column: the statements that make it hold, none where it does. `violation` says
    how it reads where it does not hold. `fallback` is what to do without it on a server that refuses; empty where it
    may not be refused.
    """

    violation: str
    repairs: Composable
    fallback: str = ""


@dataclass(frozen=True, slots=True)
class Met:
    """The outcome: the statements that were run, the requirements that the server refuses, and those it did not meet.

    A REVOKE of what somebody else has granted warns, and does nothing.
    """

    made: tuple[str, ...]
    refused: tuple[DesiredState, ...]
    missing: tuple[DesiredState, ...] = ()


def otherwise(holds: Composable, statement: Composable) -> Composed:
    """Return the query that yields `statement` where the condition `holds` is not true; NULL is not."""
    return SQL("SELECT {}::text WHERE NOT coalesce({}, false)").format(Literal(statement.as_string()), holds)


def converge(connection: BoundedConnection, requirements: Sequence[DesiredState]) -> Met:
    """Make what is lacking, and ask again what is; change nothing where nothing is.

    Raises:
        psycopg.Error: the server refuses what has no fallback.
    """
    made: list[str] = []
    refused: set[str] = set()

    def steps() -> list[tuple[DesiredState, str]]:
        return [step for step in lacking(connection, requirements) if step[0].violation not in refused]

    left = steps()
    for _ in range(ROUNDS):
        for requirement, statement in left:
            with _tolerated(requirement, refused):
                connection.execute(statement.encode())
                made.append(statement)
        if not left:
            break
        left = steps()
    return Met(
        made=tuple(made),
        refused=tuple(requirement for requirement in requirements if requirement.violation in refused),
        missing=tuple({requirement.violation: requirement for requirement, _ in left}.values()),
    )


def lacking(connection: BoundedConnection, requirements: Sequence[DesiredState]) -> list[tuple[DesiredState, str]]:
    """Return what does not hold, each with a statement that makes it, and change nothing.

    Everything is asked at once: one message, however many requirements there are.
    """
    queries = [
        SQL("SELECT {} AS number, statement FROM ({}) AS lacking (statement)").format(Literal(number), each.repairs)
        for number, each in enumerate(requirements)
    ]
    rows = connection.execute(SQL(" UNION ALL ").join(queries) + SQL(" ORDER BY 1")).fetchall()
    return [(requirements[number], statement) for number, statement in rows]


@contextmanager
def _tolerated(requirement: DesiredState, refused: set[str]) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege:
        if not requirement.fallback:
            raise
        refused.add(requirement.violation)
