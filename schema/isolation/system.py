"""What initdb made and is another now: the system's catalogue held against that of a clone, made from template0."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from schema.isolation.finding import Finding
from schema.isolation.queries import EVIDENTLY_CHANGED
from schema.isolation.reading import in_one_line
from schema.isolation.rules.fixes import AS_SUPERUSER, DEFINED_IN_TEMPLATE0

RULE = "system-changed"

# Left out is what does not matter to isolation (costs), what the rules on rights judge (who may call), and what the
# rule system_function finds. A tree in the catalogue holds the places of the text that it was parsed from, so it is
# compared as PostgreSQL writes it.
_OBJECTS = f"""
    WITH objects (kind, oid, name, definition) AS (
        SELECT CASE prokind WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END, p.oid, p.oid::regprocedure::text,
               concat(
                   to_jsonb(p) - '{{proacl,proowner,procost,prorows,prosqlbody,proargdefaults}}'::text[],
                   pg_get_function_arguments(p.oid), pg_get_function_sqlbody(p.oid)
               )
        FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE NOT {EVIDENTLY_CHANGED}
        UNION ALL
        SELECT 'VIEW', r.oid, ev_class::regclass::text, concat(pg_get_ruledef(r.oid), ev_enabled, reloptions)
        FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class
        UNION ALL
        SELECT 'OPERATOR', oid, oid::regoperator::text, to_jsonb(o)::text FROM pg_operator o
        UNION ALL
        SELECT 'CAST', oid, concat('(', castsource::regtype, ' AS ', casttarget::regtype, ')'), to_jsonb(c)::text
        FROM pg_cast c
        UNION ALL
        SELECT 'TYPE', oid, oid::regtype::text, (to_jsonb(t) - '{{typacl,typowner}}'::text[])::text FROM pg_type t
    )
"""  # noqa: S608 - a constant of this file and one of queries

_DIGESTS = f"{_OBJECTS} SELECT kind, oid, md5(definition) FROM objects WHERE oid < 16384"  # noqa: S608 - constants
_NAME = f"{_OBJECTS} SELECT name FROM objects WHERE kind = %s AND oid = %s"  # noqa: S608 - constants
_DEFINITION = "SELECT pg_get_functiondef(oid), prosrc FROM pg_proc WHERE oid = %s"


def system_changes(database: Connection, clone: Connection) -> Iterator[Finding]:
    """Yield the functions, views, operators, casts and types of the system that are not as template0 has them.

    A change by GRANT, of a cost or of an owner is none. Each role may read all this; nothing is written.
    """
    with _by_full_names(database), _by_full_names(clone):
        here, there = _digests(database), _digests(clone)
        for kind, oid in sorted(key for key in here.keys() & there.keys() if here[key] != there[key]):
            name = clone.exec_driver_sql(_NAME, (kind, oid)).scalar_one()
            fix = _restore(clone, oid) if kind == "FUNCTION" else DEFINED_IN_TEMPLATE0
            yield Finding(RULE, f"{kind} {name}", "it is not what initdb made, as template0 has it", fix)


@contextmanager
def _by_full_names(connection: Connection) -> Iterator[None]:
    """Let only the system's names stand without their schema, whatever functions of these names there are elsewhere."""
    with connection.begin_nested() as savepoint:
        connection.exec_driver_sql("SET LOCAL search_path = pg_catalog")
        yield
        savepoint.rollback()


def _digests(connection: Connection) -> dict[tuple[str, int], str]:
    return {(kind, oid): digest for kind, oid, digest in connection.exec_driver_sql(_DIGESTS)}


def _restore(clone: Connection, oid: int) -> str:
    made, body = clone.exec_driver_sql(_DEFINITION, (oid,)).one()
    return AS_SUPERUSER + in_one_line(made, body)
