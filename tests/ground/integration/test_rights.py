"""Who may do what in the prepared and migrated database, and how that is made so."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.sql import SQL, Composed

from infra.config.settings import AppEnv, Role, SslMode
from schema.admin import roles
from schema.client.connection import BoundedConnection, connect
from schema.errors import DatabaseUnavailable, MigrationError, RightsError
from schema.migration.generate import command
from schema.migration.generate.request import Request
from schema.models import metadata
from schema.tenancy.mixin import is_tenant_table
from tests.kit.database import SignUp
from tests.kit.errors import about
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.quick_on_one

Rows = list[tuple[Any, ...]]
TABLES = sorted(table.name for table in metadata.sorted_tables if is_tenant_table(table))

# What `roles.ensure` is about, row by row; with xmin also which transaction wrote each row last.
CATALOGUES: dict[str, LiteralString] = {
    "pg_authid": "rolname LIKE 'app\\_%'",
    "pg_auth_members": "member IN (SELECT oid FROM pg_authid WHERE rolname LIKE 'app\\_%')",
    "pg_database": "datname = 'app'",
    "pg_namespace": "nspname IN ('public', 'app')",
}


def versions(admin: BoundedConnection) -> dict[str, Rows]:
    """Return which version of each row is in force."""
    return {
        catalogue: admin.execute(f"SELECT oid, xmin::text FROM {catalogue} WHERE {condition} ORDER BY oid").fetchall()
        for catalogue, condition in CATALOGUES.items()
    }


def rights(admin: BoundedConnection) -> dict[str, Rows]:
    """Return what is in force: attributes and memberships of the roles, owner and rights of database and schemas."""
    return {
        "roles": admin.execute(
            "SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication,"
            " rolbypassrls FROM pg_roles WHERE rolname LIKE 'app\\_%' ORDER BY 1"
        ).fetchall(),
        "members": admin.execute(
            "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members"
            " WHERE member IN (SELECT oid FROM pg_roles WHERE rolname LIKE 'app\\_%') ORDER BY 1, 2"
        ).fetchall(),
        "database": admin.execute(
            "SELECT pg_get_userbyid(datdba), grantee::regrole::text, privilege_type"
            " FROM pg_database, aclexplode(datacl) WHERE datname = 'app' ORDER BY 1, 2, 3"
        ).fetchall(),
        "schemas": admin.execute(
            "SELECT nspname, grantee::regrole::text, privilege_type"
            " FROM pg_namespace, aclexplode(nspacl) WHERE nspname IN ('public', 'app') ORDER BY 1, 2, 3"
        ).fetchall(),
    }


@pytest.fixture
def user(stack: RunningStack) -> Iterator[BoundedConnection]:
    """Give the application role's connection, in autocommit."""
    with connect(stack.url(Role.USER), stack.settings, autocommit=True) as connection:
        yield connection


@contextmanager
def damaged(admin: BoundedConnection, damage: LiteralString, undo: LiteralString | Composed) -> Iterator[None]:
    """Do damage by hand for a block; whatever the block does, the next test finds none of it."""
    admin.execute(damage)
    try:
        yield
    finally:
        admin.execute(undo)


def test_the_rights_are_these_and_no_other(admin: BoundedConnection) -> None:
    """Attributes, memberships, and rights on database and schemas are those of the design."""
    assert rights(admin) == {
        #           name, superuser, inherit, createrole, createdb, login, replication, bypassrls
        "roles": [
            ("app_maintenance", False, True, False, False, True, False, True),
            ("app_owner", False, True, False, True, True, False, False),
            ("app_user", False, True, False, False, True, False, False),
        ],
        "members": [("pg_read_all_data", "app_maintenance")],
        "database": [
            ("app_owner", "app_maintenance", "CONNECT"),
            ("app_owner", "app_owner", "CONNECT"),
            ("app_owner", "app_owner", "CREATE"),
            ("app_owner", "app_owner", "TEMPORARY"),
            ("app_owner", "app_user", "CONNECT"),
        ],
        "schemas": [
            ("app", "app_maintenance", "USAGE"),
            ("app", "app_owner", "CREATE"),
            ("app", "app_owner", "USAGE"),
            ("app", "app_user", "USAGE"),
            ("public", "app_user", "USAGE"),  # app_maintenance has it through pg_read_all_data
            ("public", "pg_database_owner", "CREATE"),
            ("public", "pg_database_owner", "USAGE"),
        ],
    }


def test_the_application_owns_nothing(admin: BoundedConnection) -> None:
    """No object of any database belongs to app_user: an owner may lift row-level security."""
    assert (
        admin.execute(
            "SELECT dbid, classid::regclass, objid FROM pg_shdepend"
            " WHERE refclassid = 'pg_authid'::regclass AND refobjid = 'app_user'::regrole AND deptype = 'o'"
        ).fetchall()
        == []
    )


def test_the_application_has_exactly_its_rights_on_the_tables(admin: BoundedConnection) -> None:
    """It reads and writes rows; it may not truncate, reference, or put triggers on a table."""
    found = admin.execute(
        "SELECT relname, array_agg(privilege_type ORDER BY privilege_type) FROM pg_class, aclexplode(relacl)"
        " WHERE grantee IN ('app_user'::regrole, 0) AND relnamespace IN ('public'::regnamespace, 'app'::regnamespace)"
        " GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert found == [(table, ["DELETE", "INSERT", "SELECT", "UPDATE"]) for table in TABLES]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TEMPORARY TABLE notes ()",
        "CREATE TABLE public.notes ()",
        "CREATE TABLE app.notes ()",
        "CREATE SCHEMA notes",
        "CREATE DATABASE notes",
        "CREATE ROLE notes",
        "SELECT * FROM app.alembic_version",
        "SELECT * FROM app.migration_ledger",
        "TRUNCATE users",
        "ALTER TABLE users DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE users NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY tenant_restrict ON users",
        "CREATE OR REPLACE FUNCTION app.tenant_id() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
        "SET ROLE app_owner",
        "SET ROLE app_maintenance",
        "ALTER ROLE app_user BYPASSRLS",
        "ALTER DATABASE app SET app.tenant_id = 'x'",
        "COPY users TO PROGRAM 'true'",
    ],
)
def test_the_application_may_not(statement: LiteralString, user: BoundedConnection) -> None:
    """What would make, read or change more than its rows is refused to the application's role."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        user.execute(statement)


def test_turning_row_security_off_raises(user: BoundedConnection, sign_up: SignUp) -> None:
    """A session that says it wants every row gets an error and no row."""
    sign_up()
    user.execute("SET row_security = off")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        user.execute("SELECT * FROM tenants")


def test_the_owner_is_bound_by_the_policies(owner: BoundedConnection, sign_up: SignUp) -> None:
    """Owning the tables shows no tenant's rows."""
    sign_up()
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"app\.tenant_id is not set"):
        owner.execute("SELECT * FROM tenants")


def test_maintenance_reads_every_tenant(maintenance: BoundedConnection, sign_up: SignUp) -> None:
    """It needs no context, and reads Alembic's table as well: a backup holds everything."""
    made = {sign_up(), sign_up()}
    assert made <= {tenant for (tenant,) in maintenance.execute("SELECT tenant_id FROM tenants").fetchall()}
    assert maintenance.execute("SELECT version_num FROM app.alembic_version").fetchall()


@pytest.mark.parametrize("statement", ["DELETE FROM users", "CREATE TEMPORARY TABLE notes ()", "TRUNCATE users"])
def test_maintenance_writes_nothing(statement: LiteralString, maintenance: BoundedConnection) -> None:
    """The role that sees every tenant changes none."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        maintenance.execute(statement)


def test_ensuring_again_writes_nothing(stack: RunningStack, admin: BoundedConnection) -> None:
    """A second time no row of the catalogues that hold roles and rights is written."""
    before = versions(admin)
    roles.ensure(stack.admin, stack.settings)
    assert versions(admin) == before
    assert [len(rows) for rows in before.values()] == [3, 1, 1, 2]


# What somebody does by hand, and what undoes it whether or not it was put right.
DAMAGES: dict[str, tuple[LiteralString, LiteralString]] = {
    "attributes": (
        """ALTER ROLE app_user SUPERUSER CREATEDB BYPASSRLS NOLOGIN;
        ALTER ROLE app_owner CREATEROLE BYPASSRLS;
        ALTER ROLE app_maintenance NOBYPASSRLS NOINHERIT""",
        """ALTER ROLE app_user NOSUPERUSER NOCREATEDB NOBYPASSRLS LOGIN;
        ALTER ROLE app_owner NOCREATEROLE NOBYPASSRLS;
        ALTER ROLE app_maintenance BYPASSRLS INHERIT""",
    ),
    "memberships": (
        """GRANT app_owner TO app_user;
        GRANT app_maintenance TO app_owner WITH SET FALSE;
        GRANT pg_write_all_data TO app_maintenance;
        REVOKE pg_read_all_data FROM app_maintenance""",
        """REVOKE app_owner FROM app_user;
        REVOKE app_maintenance FROM app_owner;
        REVOKE pg_write_all_data FROM app_maintenance;
        GRANT pg_read_all_data TO app_maintenance""",
    ),
    "temporary tables": (
        "GRANT TEMPORARY ON DATABASE app TO PUBLIC",
        "REVOKE TEMPORARY ON DATABASE app FROM PUBLIC",
    ),
    "the database": (
        "GRANT CREATE ON DATABASE app TO app_user; REVOKE CONNECT ON DATABASE app FROM app_maintenance",
        "REVOKE CREATE ON DATABASE app FROM app_user; GRANT CONNECT ON DATABASE app TO app_maintenance",
    ),
    "its schemas": (
        """GRANT CREATE ON SCHEMA public TO PUBLIC;
        GRANT CREATE ON SCHEMA app TO app_user;
        REVOKE USAGE ON SCHEMA app FROM app_user""",
        """REVOKE CREATE ON SCHEMA public FROM PUBLIC;
        REVOKE CREATE ON SCHEMA app FROM app_user;
        GRANT USAGE ON SCHEMA app TO app_user""",
    ),
    "its owner": ("ALTER DATABASE app OWNER TO CURRENT_USER", "ALTER DATABASE app OWNER TO app_owner"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_right_that_was_changed_by_hand_is_put_right(
    what: str, stack: RunningStack, admin: BoundedConnection
) -> None:
    """Whatever somebody gave or took, ensuring makes the declared rights of it."""
    before = rights(admin)
    with damaged(admin, *DAMAGES[what]):
        assert rights(admin) != before
        roles.ensure(stack.admin, stack.settings)
        assert rights(admin) == before


def test_a_password_that_was_changed_by_hand_is_put_right(stack: RunningStack, admin: BoundedConnection) -> None:
    """The settings' password works again."""
    (before,) = admin.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'app_user'").fetchone() or ("",)
    undo = SQL("ALTER ROLE app_user PASSWORD {}").format(before)
    with damaged(admin, "ALTER ROLE app_user PASSWORD 'changed by hand'", undo):
        with pytest.raises(
            DatabaseUnavailable, match="password authentication failed", check=about(role="app_user", transient=False)
        ):
            connect(stack.url(Role.USER), stack.settings)
        roles.ensure(stack.admin, stack.settings)
        connect(stack.url(Role.USER), stack.settings).close()


def test_the_servers_log_does_not_get_a_password(stack: RunningStack, admin: BoundedConnection) -> None:
    """A statement that is logged holds a SCRAM verifier in the password's place."""
    logged: list[str | None] = []
    admin.add_notice_handler(lambda notice: logged.append(notice.message_primary))
    admin.execute("SET client_min_messages = log; SET log_statement = 'all'")
    roles._set_password(admin, Role.USER, stack.settings)
    (statement,) = filter(None, logged)
    assert "PASSWORD 'SCRAM-SHA-256$" in statement
    assert stack.settings.app_user_password.reveal() not in statement


def test_who_ensures_waits_for_another_who_does(stack: RunningStack) -> None:
    """Of two at once the second one starts when the first one is done, so that neither writes what the other reads."""
    with connect(stack.admin, stack.settings, autocommit=True) as first, ThreadPoolExecutor(1) as threads:
        first.execute("SELECT pg_advisory_lock(%s)", [roles.LOCK])
        second = threads.submit(roles.ensure, stack.admin, stack.settings)
        waits: LiteralString = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not second.done() and first.execute(waits).fetchone() == (0,):
            pass
        assert not second.done()
        first.execute("SELECT pg_advisory_unlock_all()")
        second.result(timeout=10)


def test_the_owner_makes_no_databases_in_production(stack: RunningStack, admin: BoundedConnection) -> None:
    """There CREATEDB is taken away, and `generate`, which needs it, says where it belongs."""
    production = replace(stack.settings, app_env=AppEnv.PRODUCTION, database_sslmode=SslMode.PREFER)
    with damaged(admin, "SELECT", "ALTER ROLE app_owner CREATEDB"):
        roles.ensure(stack.admin, production)
        assert [row[4] for row in rights(admin)["roles"]] == [False] * 3
        with pytest.raises(MigrationError, match=r"app_owner may not create databases .* development server"):
            command.generate(stack.url(Role.OWNER), stack.settings, Request("Add nothing"))


def test_what_the_owner_cannot_put_right_is_named(stack: RunningStack, admin: BoundedConnection) -> None:
    """A schema that belongs to somebody else is an error and not a warning, and says which and what to look at."""
    with (
        damaged(admin, "ALTER SCHEMA app OWNER TO CURRENT_USER", "ALTER SCHEMA app OWNER TO app_owner"),
        pytest.raises(
            RightsError,
            match="app_owner must own",
            check=lambda error: any("schema app" in each for each in error.violations),
        ),
    ):
        roles.ensure(stack.admin, stack.settings)
