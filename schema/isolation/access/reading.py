"""Read the access matrix from the catalogue.

Whom a right reaches: PostgreSQL manual, 5.7 (privileges), 5.8 (whom policies bind), 22.3 (membership), 22.5 (predefined
roles). Of the superusers that of initdb is left out: it may do everything, and is nobody's to change.
"""

from collections.abc import Callable
from typing import Any, LiteralString, TypeVar

import psycopg

from schema.isolation.access.matrix import AppliedPolicy, BoundRow, GrantRow, Matrix, PolicyRow, build

T = TypeVar("T")

# Attributes, as BYPASSRLS, are not inherited, so that a member may do more after SET ROLE than without it.
_ACTORS: LiteralString = """
    roles AS (
        SELECT oid, rolsuper FROM pg_roles
        WHERE rolcanlogin AND oid <> 10 AND has_database_privilege(oid, current_database(), 'CONNECT')
    ), actors AS (
        SELECT DISTINCT r.oid AS role, a.oid AS actor, a.rolsuper, a.rolbypassrls
        FROM roles r JOIN pg_roles a
            ON a.oid = r.oid OR (NOT r.rolsuper AND a.oid <> 10 AND pg_has_role(r.oid, a.oid, 'SET'))
    )
"""

_GRANTS: LiteralString = f"""
    WITH {_ACTORS}, objects AS (
        SELECT CASE WHEN relispartition THEN 'partition' ELSE CASE relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence'
                   WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'table' END END AS kind,
               c.oid::regclass::text AS name, c.oid, relnamespace AS schema, relowner AS owner, relacl AS acl,
               CASE relkind WHEN 'S' THEN 's' ELSE 'r' END AS letter,
               CASE WHEN relkind IN ('m', 'f') THEN 'unprotected' WHEN relkind <> 'v' THEN ''
                   WHEN EXISTS (
                       SELECT FROM pg_options_to_table(reloptions)
                       WHERE option_name = 'security_invoker' AND option_value::boolean
                   ) THEN 'as reader' ELSE 'as ' || relowner::regrole END AS answers_as
        FROM pg_class c WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL
        SELECT 'function', oid::regprocedure::text, oid, pronamespace, proowner, proacl, 'f',
               CASE WHEN prosecdef THEN 'as ' || proowner::regrole ELSE '' END
        FROM pg_proc p WHERE NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        )
        UNION ALL
        SELECT 'schema', quote_ident(nspname), oid, oid, nspowner, nspacl, 'n', '' FROM pg_namespace
        UNION ALL
        SELECT 'database', quote_ident(datname), oid, NULL, datdba, datacl, 'd', ''
        FROM pg_database WHERE datname = current_database()
    ), own AS (
        SELECT o.* FROM objects o LEFT JOIN pg_namespace n ON n.oid = o.schema
        WHERE n.nspname IS NULL OR n.nspname !~ '^pg_|^information_schema$'
    ), grants AS (
        SELECT o.*, g.grantee, g.privilege_type AS command, '' AS column
        FROM own o, aclexplode(coalesce(o.acl, acldefault(o.letter::"char", o.owner))) g
        UNION ALL
        SELECT o.*, g.grantee, g.privilege_type, quote_ident(a.attname)
        FROM own o JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped,
             aclexplode(a.attacl) g
        WHERE o.letter = 'r'
        UNION ALL
        SELECT o.*, to_regrole(p.role), p.command, ''
        FROM own o JOIN (VALUES
            ('pg_read_all_data', 'rs', 'SELECT'), ('pg_write_all_data', 'rs', 'UPDATE'),
            ('pg_write_all_data', 'r', 'INSERT'), ('pg_write_all_data', 'r', 'DELETE'),
            ('pg_read_all_data', 'n', 'USAGE'), ('pg_write_all_data', 'n', 'USAGE')
        ) p (role, letters, command) ON strpos(p.letters, o.letter) > 0
    )
    SELECT role::regrole::text, actor::regrole::text, kind, name, command, "column",
           CASE WHEN grantee = 0 THEN 'PUBLIC' WHEN grantee <> actor THEN 'member of ' || grantee::regrole
                WHEN grantee = owner THEN 'owner' ELSE 'direct' END, answers_as
    FROM grants JOIN actors ON NOT rolsuper AND (grantee = 0 OR pg_has_role(actor, grantee, 'USAGE'))
    WHERE schema IS NULL OR kind = 'schema' OR has_schema_privilege(actor, schema, 'USAGE')
    UNION ALL
    SELECT role::regrole::text, actor::regrole::text, kind, name, g.privilege_type, '', 'superuser', answers_as
    FROM own o JOIN actors ON rolsuper, aclexplode(acldefault(o.letter::"char", o.owner)) g
    WHERE g.grantee = o.owner
"""  # noqa: S608 - the parts are this module's own

_BOUNDS: LiteralString = f"""
    WITH {_ACTORS}
    SELECT DISTINCT actor::regrole::text, c.oid::regclass::text,
           CASE WHEN rolsuper OR rolbypassrls THEN 'bypassed' WHEN NOT relrowsecurity THEN 'unprotected'
                WHEN NOT relforcerowsecurity AND pg_has_role(actor, relowner, 'USAGE') THEN 'owner'
                ELSE 'policies' END
    FROM actors, pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'p') AND nspname !~ '^pg_|^information_schema$'
"""  # noqa: S608 - the parts are this module's own

_POLICIES: LiteralString = f"""
    WITH {_ACTORS}
    SELECT DISTINCT actor::regrole::text, polrelid::regclass::text, polcmd::text, polname::text, polpermissive,
           coalesce(pg_get_expr(polqual, polrelid), ''), coalesce(pg_get_expr(polwithcheck, polrelid), '')
    FROM actors, pg_policy
    WHERE 0 = ANY (polroles) OR EXISTS (SELECT FROM unnest(polroles) r WHERE pg_has_role(actor, r, 'USAGE'))
"""  # noqa: S608 - the parts are this module's own


def read_matrix(connection: psycopg.Connection[Any]) -> Matrix:
    """Return the matrix of the database that `connection` is on; any role may ask, and nothing is written."""
    with connection.transaction(force_rollback=True):
        # Names of `public` stand without their schema, all others with it.
        connection.execute("SET LOCAL search_path = public")
        return build(
            connection.info.dbname,
            _rows(connection, GrantRow, _GRANTS),
            _rows(connection, BoundRow, _BOUNDS),
            _rows(connection, _policy, _POLICIES),
        )


def _rows(connection: psycopg.Connection[Any], kind: Callable[..., T], query: LiteralString) -> list[T]:
    return [kind(*row) for row in connection.execute(query).fetchall()]


def _policy(actor: str, table: str, command: str, *parts: Any) -> PolicyRow:
    return PolicyRow(actor, table, command, AppliedPolicy(*parts))
