"""What initdb made and somebody replaced in place, held against the template0 of the same server."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection

from infra.config.settings import Role
from infra.config.urls import DatabaseUrl
from schema.client.connection import connect
from schema.isolation.check import check
from schema.isolation.finding import Finding
from schema.isolation.rules.fixes import AS_SUPERUSER
from schema.isolation.system import system_changes
from schema.migration.engine import owner_engine
from tests.kit.stack import RunningStack

# Each keeps its oid, and PostgreSQL takes each from a superuser.
REPLACED = {
    "FUNCTION upper(text)": "CREATE OR REPLACE FUNCTION pg_catalog.upper(text) RETURNS text LANGUAGE sql IMMUTABLE"
    " AS 'SELECT current_setting(''app.tenant_id'')'",
    "FUNCTION lpad(text,integer)": "CREATE OR REPLACE FUNCTION pg_catalog.lpad(text, int) RETURNS text LANGUAGE sql"
    " AS $$ SELECT 'a;'\n'b' $$",
    "FUNCTION textcat(text,text)": "CREATE OR REPLACE FUNCTION pg_catalog.textcat(text, text) RETURNS text"
    " LANGUAGE internal IMMUTABLE AS 'text_larger'",
    "FUNCTION current_setting(text,boolean)": "ALTER FUNCTION pg_catalog.current_setting(text, boolean) IMMUTABLE",
    "VIEW information_schema.enabled_roles": "CREATE OR REPLACE VIEW information_schema.enabled_roles AS"
    " SELECT 'x'::information_schema.sql_identifier AS role_name",
    "VIEW pg_group": "CREATE OR REPLACE VIEW pg_catalog.pg_group AS"
    " SELECT rolname AS groname, oid AS grosysid, ARRAY[]::oid[] AS grolist FROM pg_authid",
    "OPERATOR =(uuid,uuid)": "ALTER OPERATOR pg_catalog.= (uuid, uuid) SET (RESTRICT = neqsel)",
    "CAST (integer AS boolean)": "UPDATE pg_cast SET castcontext = 'i' WHERE castsource = 'int4'::regtype"
    " AND casttarget = 'bool'::regtype",
    "TYPE uuid": "UPDATE pg_type SET typsend = 'uuid_hash'::regproc WHERE typname = 'uuid'",
}
HARMLESS = (
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO app_maintenance",
    "REVOKE EXECUTE ON FUNCTION pg_catalog.lower(text) FROM PUBLIC",
    "REVOKE EXECUTE ON FUNCTION pg_catalog.texteq(text, text) FROM PUBLIC",
    "ALTER FUNCTION pg_catalog.textlike(text, text) COST 10",
    "CREATE FUNCTION public.uuid_eq(text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OPERATOR public.= (FUNCTION = int84eq, LEFTARG = int8, RIGHTARG = int4)",
    "VACUUM FREEZE pg_proc, pg_rewrite, pg_cast",
    "VACUUM FULL pg_proc",
)


@contextmanager
def both(database: DatabaseUrl, reference: DatabaseUrl, stack: RunningStack) -> Iterator[tuple[Connection, Connection]]:
    """Connect as the owner to a database and to one that was made from template0."""
    here, there = owner_engine(database, stack.settings), owner_engine(reference, stack.settings)
    with here.connect() as one, there.connect() as other:
        yield one, other
    here.dispose()
    there.dispose()


def changes(database: DatabaseUrl, reference: DatabaseUrl, stack: RunningStack) -> dict[str, Finding]:
    """Return what is found of the system's objects, by object."""
    with both(database, reference, stack) as connections:
        return {found.object: found for found in system_changes(*connections)}


def test_what_was_replaced_in_place_is_found(clone: DatabaseUrl, migrated: DatabaseUrl, stack: RunningStack) -> None:
    """An object of initdb's that is no longer as template0 has it is named, and the fix of a function restores it.

    The kind: what keeps its oid and is another now, by CREATE OR REPLACE, by ALTER, or in the catalogue itself.
    """
    with connect(stack.admin.on(clone.database), stack.settings, autocommit=True) as admin:
        admin.execute("SET allow_system_table_mods = on")
        for statement in REPLACED.values():
            admin.execute(statement.encode())
        found = changes(clone, migrated, stack)
        assert found.keys() == REPLACED.keys()
        for name, finding in found.items():
            if name.startswith("FUNCTION"):
                assert finding.fix.startswith(AS_SUPERUSER)
                admin.execute(finding.fix.encode())
    left = {name for name in REPLACED if not name.startswith("FUNCTION")}
    assert changes(clone, migrated, stack).keys() == left


def test_nothing_else_is_a_change(clone: DatabaseUrl, migrated: DatabaseUrl, stack: RunningStack) -> None:
    """Rights, costs, names that the product has as well, and what VACUUM writes again are none."""
    with connect(stack.admin.on(clone.database), stack.settings, autocommit=True) as admin:
        for statement in HARMLESS:
            admin.execute(statement.encode())
    assert changes(clone, migrated, stack) == {}


@pytest.mark.one_backend
def test_the_check_compares_with_template0(clone: DatabaseUrl, stack: RunningStack) -> None:
    """Where a clone can be made, what was replaced is a finding of the command."""
    with connect(stack.admin.on(clone.database), stack.settings, autocommit=True) as admin:
        admin.execute(REPLACED["FUNCTION upper(text)"].encode())
    [found] = check(clone, stack.url(Role.USER), stack.settings).findings
    assert (found.rule, found.object) == ("system-changed", "FUNCTION upper(text)")
