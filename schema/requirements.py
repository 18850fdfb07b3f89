"""What must hold in a database, each with the SQL that makes it so. psycopg only.

One declaration has two readers: `meet` asks the server and makes what is lacking; `schema.bootstrap` prints a script
that does the same by psql.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.sql import SQL, Composable, Composed, Literal

from schema.connect import BoundedConnection

ROUNDS = 3
"""A statement may bring to light what the next round makes: a role, then its attributes; a REVOKE from PUBLIC, then
what was held through it."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that must hold.

    `lacking` is a query of one text column: the statements that make it hold, none where it does. `unless` says how it
    reads where it does not hold. `fallback` is what to do without it on a server that refuses; empty where it may not
    be refused.
    """

    unless: str
    lacking: Composable
    fallback: str = ""


@dataclass(frozen=True, slots=True)
class Met:
    """The outcome: the statements that were run, the requirements that the server refuses, and those it did not meet.

    A REVOKE of what somebody else has granted warns, and does nothing.
    """

    made: tuple[str, ...]
    refused: tuple[Requirement, ...]
    missing: tuple[Requirement, ...] = ()


def otherwise(holds: Composable, statement: Composable) -> Composed:
    """Return the query that yields `statement` where the condition `holds` is not true; NULL is not."""
    return SQL("SELECT {}::text WHERE NOT coalesce({}, false)").format(Literal(statement.as_string()), holds)


def meet(connection: BoundedConnection, requirements: Sequence[Requirement]) -> Met:
    """Make what is lacking, and ask again what is; change nothing where nothing is.

    Raises:
        psycopg.Error: the server refuses what has no fallback.
    """
    made: list[str] = []
    refused: set[str] = set()

    def steps() -> list[tuple[Requirement, str]]:
        return [step for step in _lacking(connection, requirements) if step[0].unless not in refused]

    lacking = steps()
    for _ in range(ROUNDS):
        for requirement, statement in lacking:
            with _tolerated(requirement, refused):
                connection.execute(statement.encode())
                made.append(statement)
        if not lacking:
            break
        lacking = steps()
    return Met(
        made=tuple(made),
        refused=tuple(requirement for requirement in requirements if requirement.unless in refused),
        missing=tuple({requirement.unless: requirement for requirement, _ in lacking}.values()),
    )


def _lacking(connection: BoundedConnection, requirements: Sequence[Requirement]) -> list[tuple[Requirement, str]]:
    """Ask for everything at once: one message, however many requirements there are."""
    queries = [
        SQL("SELECT {} AS number, statement FROM ({}) AS lacking (statement)").format(Literal(number), each.lacking)
        for number, each in enumerate(requirements)
    ]
    rows = connection.execute(SQL(" UNION ALL ").join(queries) + SQL(" ORDER BY 1")).fetchall()
    return [(requirements[number], statement) for number, statement in rows]


@contextmanager
def _tolerated(requirement: Requirement, refused: set[str]) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege:
        if not requirement.fallback:
            raise
        refused.add(requirement.unless)
