"""What isolates the tables of a database, as its catalogue has it, and declarations as PostgreSQL writes them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from infra.config.settings import function_schema
from infra.config.sql_text import quote
from schema.tenancy.functions import Function
from schema.tenancy.policies import ENABLED, FORCED, TABLE, Grant, Part, Policy, Trigger, create_all, isolation

OWN = (
    "NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.classid = 'pg_class'::regclass AND deptype = 'e')"
)
"""The condition that a relation `c` is no extension's: what belongs to an extension is not the product's to declare."""

# One question for each kind, whatever the number of tables. Names are written as the search path allows.
_FLAGS = f"""
    SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class c
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = to_regnamespace(:schema) AND {OWN}
"""  # noqa: S608 - a constant
_PARTITIONS = """
    SELECT relname FROM pg_class
    WHERE relkind IN ('r', 'p', 'f') AND relispartition AND relnamespace = to_regnamespace(:schema)
"""
_POLICIES = """
    SELECT tablename, policyname, permissive, qual, with_check, cmd, roles::text[] FROM pg_policies
    WHERE schemaname = :schema ORDER BY policyname
"""
_TRIGGERS = """
    SELECT relname, tgname, tgenabled::text,
           replace(pg_get_triggerdef(t.oid, true), ' ON ' || tgrelid::regclass || ' ', ' ON ' || :table || ' ')
    FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
    WHERE NOT tgisinternal AND relnamespace = to_regnamespace(:schema) ORDER BY tgname
"""
# The owner's own rights are in the list as soon as anybody else's are.
_GRANTS = """
    SELECT relname, coalesce(rolname, 'public'), '{}'::text[] AS columns, is_grantable,
           array_agg(privilege_type::text) AS privileges
    FROM (
        SELECT relname, relowner, (aclexplode(relacl)).* FROM pg_class
        WHERE relkind IN ('r', 'p') AND relnamespace = to_regnamespace(:schema)
    ) AS granted LEFT JOIN pg_roles ON pg_roles.oid = grantee
    WHERE grantee <> relowner GROUP BY 1, 2, 4
    UNION ALL
    SELECT relname, coalesce(rolname, 'public'), array_agg(attname::text), is_grantable, ARRAY[privilege_type::text]
    FROM (
        SELECT relname, relowner, attname, (aclexplode(attacl)).*
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relkind IN ('r', 'p') AND relnamespace = to_regnamespace(:schema)
    ) AS granted LEFT JOIN pg_roles ON pg_roles.oid = grantee
    WHERE grantee <> relowner GROUP BY relname, rolname, is_grantable, privilege_type ORDER BY 2, 4, 5
"""
_FUNCTIONS = """
    SELECT signature, pg_get_functiondef(to_regprocedure(signature))
    FROM unnest(CAST(:signatures AS text[])) AS signature
"""

_UNDECLARED = """
    SELECT p.oid::regprocedure::text, prokind::text, pg_get_functiondef(p.oid), proacl IS NOT NULL,
           ARRAY(SELECT coalesce(rolname, '') FROM aclexplode(proacl) LEFT JOIN pg_roles r ON r.oid = grantee
                 WHERE grantee <> proowner ORDER BY 1)
    FROM pg_proc p WHERE pronamespace = to_regnamespace(:schema) AND prokind IN ('f', 'p')
      AND p.oid <> ALL (ARRAY(SELECT to_regprocedure(signature) FROM unnest(CAST(:signatures AS text[])) signature
                              WHERE to_regprocedure(signature) IS NOT NULL)::oid[])
      AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e' AND classid = 'pg_proc'::regclass)
    ORDER BY p.oid DESC
"""

K = TypeVar("K")
_KINDS = {"f": "FUNCTION", "p": "PROCEDURE"}
_ORDER = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
PROBE = "groundwork_probe"
"""The schema in which declarations are made for a moment."""
_EVERY = "every tenant table"


def read_tables(connection: Connection, schema: str = "public") -> dict[str, tuple[Part, ...]]:
    """Return what isolates each table of a schema; nothing is locked but the catalogue's rows are read.

    What isolates a partition is nobody's to declare: it has its parent's, or no grant (`schema.isolation.rules`).
    """
    found: dict[str, list[Part]] = {}
    for table, enabled, forced in _ask(connection, _FLAGS, schema=schema):
        found[table] = [flag for flag, on in ((ENABLED, enabled), (FORCED, forced)) if on]
    for table, name, kind, using, check, command, roles in _ask(connection, _POLICIES, schema=schema):
        if table in found:
            found[table].append(Policy(name, kind, using, check, command, tuple(roles)))
    for table, name, state, definition in _ask(connection, _TRIGGERS, schema=schema, table=TABLE):
        if table in found:  # a view has triggers of its own, as a partition has policies and rights
            found[table].append(Trigger(name, definition, state))
    for table, grantee, columns, grantable, privileges in _ask(connection, _GRANTS, schema=schema):
        if table in found:
            named = tuple(sorted(columns))
            found[table].append(Grant(grantee, tuple(sorted(privileges, key=_order)), named, grantable))
    return {table: tuple(parts) for table, parts in found.items()}


def read_partitions(connection: Connection, schema: str = "public") -> frozenset[str]:
    """Return the names of the tables that are partitions of another."""
    return frozenset(name for (name,) in _ask(connection, _PARTITIONS, schema=schema))


def read_functions(connection: Connection, functions: Iterable[Function]) -> dict[str, str | None]:
    """Return the definition of each function as PostgreSQL writes it, by signature; None where there is none."""
    signatures = [function.signature for function in functions]
    return {row.signature: row.pg_get_functiondef for row in _ask(connection, _FUNCTIONS, signatures=signatures)}


def read_undeclared(connection: Connection, functions: Iterable[Function]) -> list[Function]:
    """Return the functions of the product's schema that are not among those declared, the newest first."""
    signatures = [function.signature for function in functions]
    found = _ask(connection, _UNDECLARED, schema=function_schema(), signatures=signatures)
    return [
        Function(
            signature,
            definition.rstrip(),
            tuple(_callers(_KINDS[kind], signature, roles)) if granted else (),
            _KINDS[kind],
        )
        for signature, kind, definition, granted, roles in found
    ]


def _callers(kind: str, signature: str, roles: Sequence[str]) -> Iterator[str]:
    yield f"REVOKE EXECUTE ON {kind} {signature} FROM PUBLIC"
    yield from (f"GRANT EXECUTE ON {kind} {signature} TO {quote(role) if role else 'PUBLIC'}" for role in roles)


def as_written(
    connection: Connection,
    functions: Sequence[Function],
    tables: Mapping[str, Sequence[Part]],
    definitions: Mapping[str, Sequence[str]],
) -> tuple[dict[str, str | None], dict[str, tuple[Part, ...]]]:
    """Return declared functions, and all that isolates each tenant table, as PostgreSQL writes them down.

    `tables` holds what each declares beside the parts that all have, and `definitions` the statements that make the
    types and columns which those name. They are made for a moment in a schema of their own, in a savepoint that is
    rolled back, so no table that exists is locked. The parts that all have are made once, and it takes the same few
    messages for any number of tables.
    """
    making = (statement for definition in definitions.values() for statement in definition)
    script = [
        *(function.create for function in functions),
        *dict.fromkeys(making),  # two tables may share a type
        f"CREATE TABLE {quote(_EVERY)} (tenant_id uuid NOT NULL, updated_at timestamptz)",
        *create_all(isolation(), _EVERY),
        *(statement for table, parts in tables.items() for statement in create_all(parts, table)),
    ]
    with throw_away_schema(connection):
        run_script(connection, script)
        written = read_tables(connection, PROBE)
        made = read_functions(connection, functions)
    return made, {table: (*written[_EVERY], *written.get(table, ())) for table in tables}


def run_script(connection: Connection, statements: Sequence[str]) -> None:
    """Run statements as one message, without parameters (PostgreSQL manual, 55.2.2.1)."""
    connection.exec_driver_sql(";\n".join(statements), execution_options={"no_parameters": True})


def run_each(connection: Connection, scripts: Sequence[tuple[K, Sequence[str]]]) -> dict[K, DBAPIError]:
    """Run scripts, and return the errors of those that the server refuses; such a one takes back no other."""
    try:
        with connection.begin_nested():
            run_script(connection, [statement for _, script in scripts for statement in script])
    except DBAPIError as error:
        if len(scripts) == 1:
            return {scripts[0][0]: error}
        half = len(scripts) // 2
        return run_each(connection, scripts[:half]) | run_each(connection, scripts[half:])
    return {}


@contextmanager
def throw_away_schema(connection: Connection) -> Iterator[None]:
    """Give a block an empty schema that names are looked up in first; all that the block does is taken back."""
    with connection.begin_nested() as savepoint:
        # A function may name tables that its own migration makes.
        settings = f"SET LOCAL search_path = {PROBE}, public; SET LOCAL check_function_bodies = off"
        run_script(connection, [f"CREATE SCHEMA {PROBE}", settings])
        yield
        savepoint.rollback()


def _ask(connection: Connection, question: str, **parameters: Any) -> Sequence[Any]:
    return connection.execute(text(question), parameters).all()


def _order(privilege: str) -> int:
    return _ORDER.index(privilege) if privilege in _ORDER else len(_ORDER)
