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
    """The outcome: the statements that were run, and the requirements that the server refuses."""

    made: tuple[str, ...]
    refused: tuple[Requirement, ...]


def otherwise(holds: Composable, statement: Composable) -> Composed:
    """Return the query that yields `statement` where the condition `holds` is not true; NULL is not."""
    return SQL("SELECT {}::text WHERE NOT coalesce({}, false)").format(Literal(statement.as_string()), holds)


def meet(connection: BoundedConnection, requirements: Sequence[Requirement]) -> Met:
    """Make what is lacking; change nothing where nothing is.

    What stays lacking although the server refused nothing is the caller's to see: `unmet` names it.

    Raises:
        psycopg.Error: the server refuses what has no fallback.
    """
    made: list[str] = []
    refused: set[str] = set()
    for _ in range(ROUNDS):
        steps = [step for step in _lacking(connection, requirements) if step[0].unless not in refused]
        if not steps:
            break
        for requirement, statement in steps:
            with _tolerated(requirement, refused):
                connection.execute(statement.encode())
                made.append(statement)
    return Met(tuple(made), tuple(requirement for requirement in requirements if requirement.unless in refused))


def unmet(connection: BoundedConnection, requirements: Sequence[Requirement]) -> list[Requirement]:
    """Return what does not hold, in the order of the requirements."""
    return list({requirement.unless: requirement for requirement, _ in _lacking(connection, requirements)}.values())


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
