"""Read the catalogue: one query for each kind of object, whatever their number."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar

import psycopg
from psycopg.sql import SQL

from infra.config.settings import Role, function_schema
from schema.errors import SchemaError
from schema.isolation import queries, role_queries
from schema.isolation.facts import (
    ApplicationRole,
    Catalogue,
    DeclaredFunction,
    Default,
    DefaultGrant,
    ForeignKey,
    Function,
    Grant,
    Owned,
    Policy,
    Relation,
    RoleFacts,
    SystemFunction,
    SystemObject,
    UniqueKey,
)
from schema.migration import invalid_indexes
from schema.tenancy.policies import PREDICATE

if TYPE_CHECKING:  # SQLAlchemy comes with it
    from schema.tenancy.functions import Function as Declaration

T = TypeVar("T")

_UNKNOWN = (
    psycopg.errors.UndefinedObject,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
)

_WRITTEN = "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polrelid = 'groundwork_isolation'::regclass"
_TEMPORARY = re.compile(r"\bpg_temp(_\d+)?\.")
_OWNER = "SELECT datdba::regrole::text, quote_ident(%(user)s) FROM pg_database WHERE datname = current_database()"


def read(connection: psycopg.Connection[Any], user: str = str(Role.USER)) -> Catalogue:
    """Read the catalogue of the database that `connection` is on, as it is inside the connection's transaction.

    `user` is the role that the application connects as. Nothing is written: what is needed for a moment is rolled back.
    Any role may read what is read here; writing the declared predicate and functions down needs TEMPORARY on the
    database, which its owner has.
    """
    with connection.transaction(force_rollback=True):
        # Names of `public` stand without their schema, all others with it.
        connection.execute("SET LOCAL search_path = public")
        names = {"owner": str(Role.OWNER), "maintenance": str(Role.MAINTENANCE), "application": str(Role.USER)}
        held = connection.execute(role_queries.APPLICATION, {"user": user, **names}).fetchall()
        known = {
            "user": user,
            "maintenance": str(Role.MAINTENANCE),
            "roles": [str(role) for role in Role],
            "judged": [oid for oid, _, beyond in held if not beyond],
        }

        def ask(kind: Callable[..., T], query: LiteralString) -> tuple[T, ...]:
            return rows(connection, kind, query, known)

        [(owner, quoted)] = ask(_as_it_is, _OWNER)
        return Catalogue(
            owner=owner,
            user=quoted,
            roles_of_application=tuple(ApplicationRole(name, beyond) for _, name, beyond in held),
            predicate=_read_declared_predicate(connection),
            relations=ask(Relation, queries.RELATIONS),
            policies=ask(Policy, queries.POLICIES),
            unique_keys=ask(UniqueKey, queries.UNIQUE_KEYS),
            foreign_keys=ask(ForeignKey, queries.FOREIGN_KEYS),
            functions=ask(Function, queries.FUNCTIONS),
            declared_functions=tuple(_read_declared_functions(connection)),
            system_objects=ask(SystemObject, queries.SYSTEM_OBJECTS),
            system_functions=ask(SystemFunction, queries.SYSTEM_FUNCTIONS),
            grants=ask(Grant, role_queries.GRANTS),
            default_grants=ask(DefaultGrant, role_queries.DEFAULT_GRANTS),
            roles=ask(RoleFacts, role_queries.ROLES),
            defaults=ask(Default, role_queries.DEFAULTS),
            event_triggers=ask(str, queries.EVENT_TRIGGERS),
            owned=ask(Owned, role_queries.OWNED),
            invalid_indexes=invalid_indexes.read(connection),
        )


def rows(
    connection: psycopg.Connection[Any],
    kind: Callable[..., T],
    query: LiteralString,
    known: Mapping[str, object] | None = None,
) -> tuple[T, ...]:
    """Return what a query finds, each row made a `kind` of its columns; arrays become tuples."""
    return tuple(kind(*map(_frozen, row)) for row in connection.execute(query, known).fetchall())


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _read_declared_predicate(connection: psycopg.Connection[Any]) -> str | None:
    """Let the server write the declared predicate down its own way, on a table that nobody else can see.

    CREATE POLICY takes ACCESS EXCLUSIVE (PostgreSQL manual, 13.3.1), so a table that somebody uses will not do.
    """
    function = [f"{function_schema()}.tenant_id()"]
    if connection.execute("SELECT to_regprocedure(%s)", function).fetchone() == (None,):
        return None
    with connection.transaction(force_rollback=True):
        connection.execute("CREATE TEMPORARY TABLE groundwork_isolation (tenant_id uuid)")
        connection.execute(SQL("CREATE POLICY declared ON groundwork_isolation USING ({})").format(SQL(PREDICATE)))
        (written,) = rows(connection, str, _WRITTEN)
    return written


def _read_declared_functions(connection: psycopg.Connection[Any]) -> Iterator[DeclaredFunction]:
    """Let the server read each declared function, made in a schema that nobody else can see.

    What a body names need not exist there: bodies are compared, not run.
    """
    from schema.migration.models import load_models  # SQLAlchemy, which each command would pay for
    from schema.tenancy.functions import FUNCTIONS

    with suppress(SchemaError):  # a faulty model is reported by the stage that compares them
        load_models()

    declared = [function for function in FUNCTIONS if function.kind in {"FUNCTION", "PROCEDURE"}]
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL check_function_bodies = off")
        known = [function for function in declared if _make_temporary(connection, function)]
        made = rows(connection, _as_it_is, queries.TEMPORARY_FUNCTIONS)
    for function, (signature, definition, body, text) in zip(known, made, strict=True):
        schema = function.signature.partition(".")[0]
        named, create = (_TEMPORARY.sub(f"{schema}.", each, count=1) for each in (signature, text))
        yield DeclaredFunction(named, definition, "; ".join((in_one_line(create, body), *function.rights)))


def _make_temporary(connection: psycopg.Connection[Any], function: "Declaration") -> bool:
    """Make a function in the session's temporary schema; return False where a migration has yet to make its types."""
    schema, _, name = function.signature.partition("(")[0].rpartition(".")
    head = re.compile(rf"\b{re.escape(f'{schema}.{name}')}\s*\(")
    try:
        with connection.transaction():
            connection.execute(head.sub(f"pg_temp.{name}(", function.create, count=1).encode())
    except _UNKNOWN:
        return False
    return True


def _as_it_is(*row: Any) -> tuple[Any, ...]:
    return row


def in_one_line(made: str, body: str) -> str:
    """Return a statement of pg_get_functiondef in one line, its body as an escape string (manual, 4.1.2.2)."""
    if not body:
        return " ".join(made.split())
    head, _, rest = made.rpartition(body)
    head, tail = head[: head.rindex("AS $")], rest.rpartition("$")[2]
    escaped = body.replace("\\", "\\\\").replace("'", "''").replace("\r", "\\r").replace("\n", "\\n")
    return f"{' '.join(head.split())} AS E'{escaped}'{tail.rstrip()}"
