"""What somebody did to the roles of a running stack: `doctor` and `plan` say so, and `up` puts it right.

The kind is a stack that counts as proven although the application can no longer log in, or may do more than declared.
"""

import pytest

from infra.config.settings import Role
from tests.kit.checkout import Checkout

DAMAGE = {
    "a member, expired, limited and without CONNECT": (
        "GRANT app_owner TO app_user; ALTER ROLE app_user VALID UNTIL '2001-01-01' CONNECTION LIMIT 0;"
        "REVOKE CONNECT ON DATABASE app FROM app_user"
    ),
}
SLOW_DAMAGE = {
    "more than declared, for one that logs in": "GRANT app_owner TO app_user",
    "no login": "ALTER ROLE app_user NOLOGIN",
    "another password": "ALTER ROLE app_user PASSWORD 'other'",
    "another name": "ALTER ROLE app_user RENAME TO somebody",
    "the owner, not the application": "ALTER ROLE app_owner NOLOGIN",
    "attributes": "ALTER ROLE app_user BYPASSRLS",
    "a schema": "REVOKE USAGE ON SCHEMA app FROM app_user",
    "no connections to the database": "\\c postgres\nALTER DATABASE app ALLOW_CONNECTIONS false",
    "none of its connections": "ALTER DATABASE app CONNECTION LIMIT 0",
}


def damage(checkout: Checkout, statements: str) -> None:
    """Change roles as a superuser."""
    done = checkout.pipe(statements, "psql", "--role", "admin")
    assert "ERROR" not in done.stderr


@pytest.mark.quick_on_one
@pytest.mark.parametrize(
    "statements",
    [*DAMAGE.values(), *(pytest.param(each, marks=pytest.mark.slow) for each in SLOW_DAMAGE.values())],
    ids=[*DAMAGE, *SLOW_DAMAGE],
)
def test_up_puts_changed_roles_right(statements: str, checkout: Checkout) -> None:
    """Afterwards the application logs in and may do what is declared; the servers go on running."""
    checkout.succeed("up")
    before = checkout.status()
    damage(checkout, statements)
    doctor = checkout.succeed("doctor").stdout
    assert any("warn  postgres" in line and "invoke up" in line for line in doctor.splitlines()), doctor
    assert "prove" in checkout.succeed("plan").stdout
    checkout.succeed("up")
    assert checkout.query(
        Role.USER,
        "SELECT count(*), bool_or(rolbypassrls OR rolsuper), has_schema_privilege('app', 'USAGE') FROM pg_roles r"
        " LEFT JOIN pg_auth_members ON member = r.oid WHERE rolname = current_user AND roleid IS NULL",
    ) == [(1, False, True)]
    checkout.query(Role.OWNER, "SELECT 1")
    assert "nothing to do" in checkout.succeed("plan").stdout
    assert checkout.status() == before
