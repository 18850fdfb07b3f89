"""Read the catalogue: one query for each kind of object, whatever their number. psycopg only."""

from collections.abc import Callable
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.sql import SQL

from infra.settings import Role
from schema import invalid_indexes
from schema.isolation import queries
from schema.isolation.catalogue import (
    Catalogue,
    Default,
    ForeignKey,
    Function,
    Grant,
    Policy,
    Relation,
    RoleFacts,
    UniqueKey,
)
from schema.rls.policy import PREDICATE

T = TypeVar("T")

_WRITTEN = "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polrelid = 'groundwork_isolation'::regclass"

_ROLES = {"user": Role.USER.value, "maintenance": Role.MAINTENANCE.value, "roles": [role.value for role in Role]}


def read(connection: psycopg.Connection[Any]) -> Catalogue:
    """Read the catalogue of the database that `connection` is on, as it is inside the connection's transaction.

    Nothing is written: what is needed for a moment is rolled back. Any role may read what is read here; writing the
    declared predicate down needs TEMPORARY on the database, which its owner has.
    """
    with connection.transaction(force_rollback=True):
        # Names of `public` stand without their schema, all others with it.
        connection.execute("SET LOCAL search_path = public")
        return Catalogue(
            predicate=_declared_predicate(connection),
            relations=rows(connection, Relation, queries.RELATIONS),
            policies=rows(connection, Policy, queries.POLICIES),
            unique_keys=rows(connection, UniqueKey, queries.UNIQUE_KEYS),
            foreign_keys=rows(connection, ForeignKey, queries.FOREIGN_KEYS),
            functions=rows(connection, Function, queries.FUNCTIONS),
            grants=rows(connection, Grant, queries.GRANTS),
            roles=rows(connection, RoleFacts, queries.ROLES),
            defaults=rows(connection, Default, queries.DEFAULTS),
            event_triggers=rows(connection, str, queries.EVENT_TRIGGERS),
            owned_by_user=rows(connection, str, queries.OWNED),
            invalid_indexes=invalid_indexes.read(connection),
        )


def rows(connection: psycopg.Connection[Any], kind: Callable[..., T], query: LiteralString) -> tuple[T, ...]:
    """Return what a query finds, each row made a `kind` of its columns; arrays become tuples."""
    return tuple(kind(*map(_frozen, row)) for row in connection.execute(query, _ROLES).fetchall())


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _declared_predicate(connection: psycopg.Connection[Any]) -> str | None:
    """Let the server write the declared predicate down its own way, on a table that nobody else can see.

    CREATE POLICY takes ACCESS EXCLUSIVE (PostgreSQL manual, 13.3.1), so a table that somebody uses will not do.
    """
    if connection.execute("SELECT to_regprocedure('app.tenant_id()')").fetchone() == (None,):
        return None
    with connection.transaction(force_rollback=True):
        connection.execute("CREATE TEMPORARY TABLE groundwork_isolation (tenant_id uuid)")
        connection.execute(SQL("CREATE POLICY declared ON groundwork_isolation USING ({})").format(SQL(PREDICATE)))
        (written,) = rows(connection, str, _WRITTEN)
    return written
