"""The access matrix of a migrated database, and what damage to it opens or closes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.config.settings import CHECKOUT, Role
from infra.config.urls import DatabaseUrl
from schema.client.connection import BoundedConnection, connect
from schema.isolation.access.changes import changes
from schema.isolation.access.reading import read_matrix
from schema.isolation.access.written import lines_of
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.one_backend

OPENED = {
    "GRANT TRUNCATE ON users TO app_user": ["opens app_user: TRUNCATE on table users: by direct"],
    "GRANT SELECT ON tenant_directory TO PUBLIC": ["opens app_user: SELECT on table tenant_directory: by PUBLIC"],
    "ALTER TABLE users DISABLE ROW LEVEL SECURITY": [
        f"opens {role}: DELETE, INSERT, SELECT, UPDATE on table users: rows: unprotected, were: policies"
        for role in ("app_owner", "app_user")
    ],
    "ALTER TABLE users NO FORCE ROW LEVEL SECURITY": [
        "opens app_owner: DELETE, INSERT, SELECT, UPDATE on table users: rows: owner, were: policies"
    ],
    "CREATE VIEW all_users AS TABLE users; ALTER VIEW all_users OWNER TO app_owner;"
    "GRANT SELECT ON all_users TO app_user": [
        "opens app_owner: DELETE, INSERT, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE on view all_users: by owner",
        "opens app_maintenance: SELECT on view all_users: by member of pg_read_all_data",
        "opens app_user: SELECT on view all_users: by direct",
    ],
    "CREATE SEQUENCE bills; GRANT USAGE ON bills TO app_user": [
        "opens app_maintenance: SELECT on sequence bills: by member of pg_read_all_data",
        "opens app_user: USAGE on sequence bills: by direct",
    ],
    "GRANT pg_write_all_data TO app_user WITH INHERIT FALSE": [
        "opens app_user (SET ROLE pg_write_all_data): DELETE, INSERT, UPDATE on table tenant_directory: by direct",
    ],
}
CLOSED = {
    "REVOKE DELETE ON users FROM app_user": ["closes app_user: DELETE on table users: was by direct"],
    "REVOKE USAGE ON SCHEMA app FROM app_user": ["closes app_user: USAGE on schema app: was by direct"],
    "CREATE POLICY narrower ON users AS RESTRICTIVE FOR DELETE TO app_user USING (role <> 'owner')": [
        "closes app_user: DELETE on table users: policy narrower is new: USING (role <> 'owner'::text)"
    ],
    "ALTER ROLE app_maintenance NOBYPASSRLS": [
        "closes app_maintenance: SELECT on table users: rows: policies, were: bypassed"
    ],
}


@pytest.mark.parametrize("statements", [*OPENED, *CLOSED])
def test_what_damage_opens_or_closes_is_told(statements: str, damage: BoundedConnection) -> None:
    """Every way by which a role comes to a right, or by which its rows are limited, is seen in the catalogue."""
    before = read_matrix(damage)
    damage.execute(statements.encode())
    found = changes(before, read_matrix(damage))
    # An owner has MAINTAIN as well from PostgreSQL 17 on.
    told = {line.replace("MAINTAIN, ", "") for line in lines_of(found)}
    assert {*OPENED.get(statements, []), *CLOSED.get(statements, [])} <= told
    assert all(change.opens for change in found) == (statements in OPENED)


def test_what_is_written_is_the_same_each_time(damage: BoundedConnection) -> None:
    """Another order of the same grants makes no other matrix."""
    damage.execute("GRANT SELECT ON users TO app_maintenance; GRANT INSERT ON users TO app_maintenance")
    first = read_matrix(damage)
    damage.execute("REVOKE ALL ON users FROM app_maintenance; GRANT INSERT, SELECT ON users TO app_maintenance")
    assert read_matrix(damage) == first
    assert list(first.access) == sorted(first.access)


def test_the_command_holds_a_state_against_an_earlier_one(
    stack: RunningStack, clone: DatabaseUrl, tmp_path: Path
) -> None:
    """In production as well: 0 while nothing is opened, 5 once something is, 2 where the file holds no matrix."""
    environ = os.environ | {
        "APP_ENV": "production",
        "DATABASE_SSLMODE": "disable",
        "DATABASE_URL": stack.url(Role.USER).on(clone.database).libpq(),
    }

    def access(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "invoke", "access", *words]
        return subprocess.run(command, cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=False)

    file = tmp_path / "access.json"
    file.write_text(access("--json").stdout)
    same = access("--against", str(file))
    assert (same.returncode, same.stdout, same.stderr) == (0, "nothing is opened or closed\n", "")
    with connect(clone, stack.settings, autocommit=True) as owner:
        owner.execute("GRANT TRUNCATE ON users TO app_user")
    opened = access("--against", str(file), "--json")
    assert (opened.returncode, opened.stderr) == (5, "")
    (change,) = json.loads(opened.stdout)
    assert (change["effect"], change["role"], change["command"]) == ("opens", "app_user", "TRUNCATE")
    for words in ("", "{}"):
        file.write_text(words)
        refused = access("--against", str(file))
        assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)
        assert "invoke access --json" in refused.stderr
