"""What one tenant, or nobody, tries on another's rows: each attack is a statement, and what counts as held.

A refusal is judged by its SQLSTATE (PostgreSQL manual, appendix A): 42501 is that of rights and policies, and class 23
that of a constraint, which is asked after the policies, so that the row had passed them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg.sql import SQL, Composed, Identifier

from schema.isolation.facts import ForeignKey, UniqueKey
from schema.isolation.probe.insertion import Row, insertion
from schema.isolation.probe.shapes import Shape

INSUFFICIENT_PRIVILEGE = "42501"
INTEGRITY = "23"


class Copy(StrEnum):
    """Which way a COPY goes, that is no statement like the others."""

    OUT = "out"
    IN = "in"


@dataclass(frozen=True, slots=True)
class Attack:
    """A statement; of a COPY its direction and, where it writes, the values of the row.

    It is held when it shows and touches no row, or is refused. `only_rights`: nothing but a lack of rights will do.
    `constraints_hold`: a constraint is what should refuse it, which otherwise means that no policy did.
    """

    name: str
    object: str
    statement: Composed
    copy: Copy | None = None
    copied: tuple[Any, ...] = ()
    only_rights: bool = False
    constraints_hold: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attack came to: rows shown or touched, or the SQLSTATE and the words of its refusal."""

    rows: int = 0
    sqlstate: str | None = None
    refusal: str = ""


def breach(attack: Attack, outcome: Outcome) -> str | None:
    """Return in words what an attack achieved, None where it was held."""
    if outcome.sqlstate is None:
        if attack.only_rights:
            return "it was not refused"
        return f"{outcome.rows} of a tenant's rows shown or touched" if outcome.rows else None
    passed = outcome.sqlstate.startswith(INTEGRITY) and not attack.constraints_hold
    if outcome.sqlstate != INSUFFICIENT_PRIVILEGE and (passed or attack.only_rights):
        return f"neither rights nor a policy refused it, but only: {outcome.refusal}"
    return None


def on_all_there_is(table: str, intruder: UUID) -> Iterator[Attack]:
    """Attack a table in which the intruder has no row: whatever it sees or touches is another's.

    A statement that names no column is bound by the policies of that command alone (PostgreSQL manual, CREATE POLICY),
    so the UPDATE and the DELETE have no WHERE.
    """
    name = SQL(table)
    yield Attack("read", table, SQL("SELECT tenant_id FROM {}").format(name))
    yield Attack("count", table, SQL("SELECT count(*) FROM {} HAVING count(*) > 0").format(name))
    yield Attack("lock", table, SQL("SELECT FROM {} FOR UPDATE").format(name))
    yield Attack("copy-out", table, SQL("COPY {} TO STDOUT").format(name), copy=Copy.OUT)
    yield Attack("update", table, SQL("UPDATE {} SET tenant_id = tenant_id").format(name))
    yield Attack("take", table, SQL("UPDATE {} SET tenant_id = {}").format(name, str(intruder)))
    yield Attack("delete", table, SQL("DELETE FROM {}").format(name))
    yield Attack("truncate", table, SQL("TRUNCATE {}").format(name), only_rights=True)


def with_a_row_of_the_victim(table: str, row: Row, shape: Shape) -> Iterator[Attack]:
    """Put a new row among the victim's."""
    yield Attack("insert", table, insertion(table, row, shape))
    given = {name: value for name, value in row.items() if not shape.columns[name].generated}
    columns = SQL(", ").join(map(Identifier, given))
    copy = SQL("COPY {} ({}) FROM STDIN").format(SQL(table), columns)
    yield Attack("copy-in", table, copy, copy=Copy.IN, copied=tuple(given.values()))


def beside_own_rows(table: str, victim: UUID) -> Iterator[Attack]:
    """Attack a table in which the intruder has a row of its own."""
    name, other = SQL(table), str(victim)
    yield Attack("read", table, SQL("SELECT FROM {} WHERE tenant_id = {}").format(name, other))
    # A policy may show rows to whoever has some, as by a sub-query on another table.
    yield Attack("update", table, SQL("UPDATE {} SET tenant_id = tenant_id WHERE tenant_id = {}").format(name, other))
    yield Attack("delete", table, SQL("DELETE FROM {} WHERE tenant_id = {}").format(name, other))
    yield Attack("move", table, SQL("UPDATE {} SET tenant_id = {}").format(name, other))


def on_key(key: UniqueKey, own: Row, victims: Row, shape: Shape) -> Iterator[Attack]:
    """Run into the victim's row by a unique key, to change it: as the victim's and as the intruder's own row."""
    name = f"{key.table}.{key.name}"
    conflict = SQL(
        " ON CONFLICT ({}){} DO UPDATE SET tenant_id = excluded.tenant_id"
        " WHERE {}.tenant_id <> excluded.tenant_id OR excluded.tenant_id <> {} RETURNING xmax"
    ).format(
        SQL(", ").join(map(SQL, key.columns)),
        SQL(f" WHERE {key.condition}" if key.condition else ""),
        SQL(key.table),
        own["tenant_id"],
    )
    filled = {column: value for column, value in victims.items() if value is not None}
    yield Attack("upsert", name, insertion(key.table, filled, shape) + conflict)
    row = {**own, **{column: value for column, value in filled.items() if _is_named(column, key)}}
    # A row that did not conflict is the intruder's own; one that did has an xmax (PostgreSQL manual, 5.5).
    returning = SQL("WITH done AS ({}) SELECT FROM done WHERE xmax <> 0").format(
        insertion(key.table, row, shape) + conflict
    )
    yield Attack("upsert", name, returning, constraints_hold=True)


def _is_named(column: str, key: UniqueKey) -> bool:
    """Return whether a key is over a column, as it is or in an expression; the tenant's is the intruder's to keep."""
    return column != "tenant_id" and any(re.search(rf"\b{re.escape(column)}\b", text) for text in key.columns)


def on_foreign_key(key: ForeignKey, own: Row, victims: Row, mine: Row, shape: Shape) -> Iterator[Attack]:
    """Point at the victim's row of another table, in a row of the intruder's; `mine` is the intruder's own there."""
    pairs = [
        (child, other) for child, other in zip(key.columns, key.parent_columns, strict=True) if child != "tenant_id"
    ]
    if any(shape.columns[child].generated for child, _ in pairs):
        return  # where it points is not said, but computed
    pointing = {child: victims[other] for child, other in pairs}
    if pointing != {child: mine[other] for child, other in pairs}:  # else the row points at the intruder's own
        row = {**own, **pointing}
        statement = insertion(key.table, row, shape)
        yield Attack("reference", f"{key.table}.{key.name}", statement, constraints_hold=True)
